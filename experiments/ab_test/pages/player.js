"use strict";
// Two clips that repeat and share one position, what was heard of them, and single sounds. Only one thing plays at a time.

const STEP = 0.1; // s, how finely we keep what was heard
const LONGEST_JUMP = 1.5; // s between two looks at a player that is still one stretch of listening
const LAST = 0.25; // s before the end, where seeking stops: Chromium gives up on a FLAC file that should start in its last blocks

let silence = () => {}; // stops what plays now

class PairPlayer {
  // root: the element with the two clips; clips: {a, b} with file, seconds, outline, needed; heard: {a, b} texts of 0 and 1
  // from before a reload; log(what, clip, position); changed() after anything that counts.
  constructor(root, clips, addressOf, heard, log, changed) {
    this.log = log;
    this.changed = changed;
    this.position = 0;
    this.current = "a";
    this.unlocked = false;
    this.sides = {};
    const loudest = Math.max(1, ...clips.a.outline, ...clips.b.outline);
    for (const name of ["a", "b"]) this.sides[name] = this.side(root, name, clips[name], addressOf, heard[name], loudest);
    this.latest = Math.max(0, Math.min(clips.a.seconds, clips.b.seconds) - LAST);
  }

  side(root, name, clip, addressOf, before, loudest) {
    const box = root.querySelector(`[data-clip="${name}"]`);
    const audio = new Audio(addressOf(clip.file));
    audio.preload = "auto";
    const heard = Array.from({ length: Math.ceil(clip.seconds / STEP) }, (_, step) => before?.[step] === "1");
    const side = { box, audio, clip, heard, last: null, slider: box.querySelector("input"), button: box.querySelector("[data-play]") };
    const outline = clip.outline.map((height, place) => {
      const half = Math.max(0.8, (29 * height) / loudest);
      return `M${place + 0.15} ${30 - half}h.7v${2 * half}h-.7z`;
    }).join("");
    box.querySelectorAll("path").forEach((path) => path.setAttribute("d", outline || "M0 27h160v6h-160z"));
    side.slider.max = clip.seconds;
    side.button.addEventListener("click", () => (this.playing === name ? this.pause() : this.play(name)));
    side.slider.addEventListener("input", () => this.seek(Number(side.slider.value)));
    audio.addEventListener("timeupdate", () => this.look(name));
    audio.addEventListener("ended", () => this.end(name));
    audio.addEventListener("error", () => {
      if (audio.getAttribute("src")) box.querySelector("[data-heard]").textContent = "This clip cannot be loaded: reload the page";
    });
    this.show(side);
    return side;
  }

  unlock() {
    this.unlocked = true;
    for (const side of Object.values(this.sides)) side.slider.disabled = side.button.disabled = false;
  }

  play(name = this.current) {
    if (!this.unlocked) return;
    if (this.playing !== name) silence();
    const side = this.sides[name];
    this.current = this.playing = name;
    const start = Math.min(this.position, this.latest);
    if (side.audio.currentTime !== start) side.audio.currentTime = start;
    side.last = start;
    silence = () => this.pause();
    side.audio.play().catch((error) => { if (error.name !== "AbortError") throw error; });
    this.log("play", name, this.position);
    this.mark();
    const watch = () => { if (this.playing === name) { this.look(name); requestAnimationFrame(watch); } };
    requestAnimationFrame(watch);
  }

  pause() {
    const name = this.playing;
    if (!name) return;
    this.look(name);
    this.sides[name].audio.pause();
    this.playing = null;
    this.log("pause", name, this.position);
    this.mark();
  }

  toggle() { this.playing ? this.pause() : this.play(); }

  seek(position) {
    if (!this.unlocked) return;
    this.position = Math.min(Math.max(0, position), this.latest);
    const side = this.sides[this.playing];
    if (side) side.audio.currentTime = side.last = this.position;
    this.log("seek", this.current, this.position);
    Object.values(this.sides).forEach((one) => this.show(one));
  }

  end(name) {
    this.cover(this.sides[name], this.sides[name].last ?? 0, this.sides[name].clip.seconds);
    this.position = 0;
    if (this.playing === name) this.play(name); // over and over, until it is paused
  }

  look(name) {
    const side = this.sides[name], now = side.audio.currentTime;
    if (this.playing !== name || side.audio.paused || side.audio.seeking) return;
    if (side.last !== null && now >= side.last && now - side.last < LONGEST_JUMP) this.cover(side, side.last, now);
    side.last = this.position = now;
    Object.values(this.sides).forEach((one) => this.show(one));
  }

  cover(side, from, to) {
    const before = this.heardSeconds(side);
    for (let step = Math.round(from / STEP); step < Math.min(Math.round(to / STEP), side.heard.length); step++) side.heard[step] = true;
    if (this.heardSeconds(side) !== before) this.changed();
  }

  heardSeconds(side) { return Math.min(side.clip.seconds, side.heard.filter(Boolean).length * STEP); }

  heard(name) { return Number(this.heardSeconds(this.sides[name]).toFixed(1)); }

  // How many seconds of a clip are still to be heard; a step may be lost at either end.
  lacking(name) {
    const side = this.sides[name];
    return Math.max(0, side.clip.needed - this.heardSeconds(side));
  }

  memory() {
    return Object.fromEntries(Object.entries(this.sides).map(([name, side]) => [name, side.heard.map(Number).join("")]));
  }

  mark() {
    for (const [name, side] of Object.entries(this.sides)) {
      const on = this.playing === name;
      side.box.classList.toggle("on", on);
      side.button.setAttribute("aria-label", `${on ? "Pause" : "Play"} clip ${name.toUpperCase()}`);
      this.show(side);
    }
  }

  show(side) {
    side.slider.value = this.position;
    side.box.style.setProperty("--past", `${(100 * this.position) / side.clip.seconds}%`);
    const lacking = Math.max(0, side.clip.needed - this.heardSeconds(side)), note = side.box.querySelector("[data-heard]");
    note.classList.toggle("enough", lacking === 0);
    const told = lacking === 0 ? "✓ heard" : this.unlocked ? `listen for ${Math.ceil(lacking)} s more` : "";
    if (note.textContent !== told) note.textContent = told;
  }

  close() {
    this.pause();
    for (const side of Object.values(this.sides)) side.audio.removeAttribute("src");
  }
}

// Let a button play a sound from its beginning; ended() when it was heard to its end, started() on each start.
function soundButton(button, address, { ended = () => {}, started = () => {} } = {}) {
  const audio = new Audio(address());
  const stop = () => { audio.pause(); audio.currentTime = 0; button.classList.remove("on"); };
  audio.addEventListener("ended", () => { button.classList.remove("on"); ended(); });
  button.addEventListener("click", () => {
    if (button.classList.contains("on")) return stop();
    silence();
    silence = stop;
    if (audio.getAttribute("src") !== address()) audio.src = address();
    button.classList.add("on");
    started();
    audio.play().catch((error) => { if (error.name !== "AbortError") throw error; });
  });
  return stop;
}
