"use strict";
// One sound at a time, by mouse or keys; stars that are true in every tab.
(() => {
  const LAST = 0.25; // s before the end, where seeking stops: Chromium gives up a FLAC file that is to start in its last blocks
  const audio = new Audio();
  const boxes = [...document.querySelectorAll("[data-audio]")];
  const rows = boxes.filter((box) => box.matches(".row"));
  const toast = document.querySelector("[data-toast]");
  let current = null;

  const part = (box, name) => box.querySelector(`[data-${name}]`);
  const tell = (text) => {
    toast.textContent = text;
  };

  const clock = (seconds) => `${seconds.toFixed(1)} s`;
  const draw = () => {
    if (!current) return;
    const slider = part(current, "seek");
    const seconds = Number(slider.max) || 1;
    slider.value = audio.currentTime;
    slider.style.setProperty("--at", `${(100 * audio.currentTime) / seconds}%`);
    part(current, "time").textContent = `${audio.currentTime.toFixed(1)} / ${clock(seconds)}`;
    if (!audio.paused) requestAnimationFrame(draw);
  };
  const show = () => {
    current.classList.toggle("on", !audio.paused);
    const button = part(current, "play");
    const label = button.getAttribute("aria-label").replace(/^(Play|Pause) /, "");
    button.setAttribute("aria-label", `${audio.paused ? "Play" : "Pause"} ${label}`);
    draw();
  };

  const select = (box) => {
    if (current === box) return;
    if (current) {
      audio.pause();
      show();
      current.classList.remove("current");
    }
    current = box;
    box.classList.add("current");
    tell("");
    audio.src = box.dataset.audio;
  };
  const play = (box) => {
    select(box);
    audio.play().catch((error) => {
      if (!["AbortError", "NotSupportedError"].includes(error.name)) tell(error.message); // the latter is told below
    });
  };
  const seek = (box, seconds) => {
    select(box);
    const start = () => {
      audio.currentTime = Math.max(0, Math.min(seconds, audio.duration - LAST));
      draw();
    };
    if (audio.readyState > 0) start();
    else audio.addEventListener("loadedmetadata", start, { once: true });
  };
  const toggle = (box) => (box === current && !audio.paused ? audio.pause() : play(box));

  for (const name of ["play", "pause", "seeked"]) audio.addEventListener(name, () => current && show());
  audio.addEventListener("loadedmetadata", () => {
    part(current, "seek").max = audio.duration;
    draw();
  });
  audio.addEventListener("ended", () => {
    audio.currentTime = 0;
    show();
  });
  audio.addEventListener("error", async () => {
    if (!current) return;
    const reply = await fetch(current.dataset.audio).catch(() => null);
    if (!reply) tell("The server does not answer: is it still running?");
    else tell(reply.ok ? "This browser cannot play the clip." : await reply.text());
  });

  const apply = (marks) => {
    for (const row of rows) {
      const { pool, prompt, candidate } = row.dataset;
      const marked = Object.hasOwn(marks[pool], prompt) && marks[pool][prompt] === Number(candidate);
      part(row, "star").setAttribute("aria-pressed", marked);
    }
    document.querySelector("[data-count]").textContent = marks.reduce((sum, one) => sum + Object.keys(one).length, 0);
  };
  const ask = async (options) => {
    try {
      const reply = await fetch("/favourites", options);
      if (reply.ok) apply(await reply.json());
      else tell(await reply.text());
    } catch {
      tell("The server does not answer: is it still running? Nothing was changed.");
    }
  };
  const star = (row) => {
    const { pool, prompt, candidate, sha256 } = row.dataset;
    const favourite = part(row, "star").getAttribute("aria-pressed") !== "true";
    const mark = { pool: Number(pool), prompt_id: prompt, candidate: Number(candidate), sha256, favourite };
    return ask({ method: "PUT", body: JSON.stringify(mark) });
  };

  for (const box of boxes) {
    const slider = part(box, "seek");
    slider.addEventListener("input", () => seek(box, Number(slider.value)));
    part(box, "play").addEventListener("click", () => toggle(box));
    part(box, "star")?.addEventListener("click", () => star(box));
  }
  // a button that was clicked keeps no focus, or the space bar would press it again
  document.addEventListener("click", (event) => {
    if (event.detail) event.target.closest?.("button")?.blur();
  });

  const step = (by) => {
    const place = rows.indexOf(current);
    const next = rows[place < 0 ? 0 : place + by];
    if (!next) return;
    play(next);
    next.scrollIntoView({ block: "nearest" });
  };
  const keys = {
    " ": () => (current || rows[0]) && toggle(current || rows[0]),
    j: () => step(1),
    k: () => step(-1),
    f: () => current?.matches(".row") && star(current),
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input:not([type=range]), select, textarea");
    const pressing = event.key === " " && event.target.matches("button, a");
    if (typing || pressing || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });

  const form = document.querySelector("form.tools");
  form.addEventListener("change", (event) => event.target.matches("select, [type=checkbox]") && form.requestSubmit());
  form.addEventListener("formdata", ({ formData }) => {
    for (const [name, value] of [...formData]) if (!value) formData.delete(name);
  });
  // another tab may have changed them; so may this one, before it came back out of the browser's memory
  for (const name of ["focus", "pageshow"]) window.addEventListener(name, () => ask());
})();
