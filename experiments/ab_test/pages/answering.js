"use strict";
// One turn: the request, the two players, the two questions. Resolves with the answer when the rater goes on.

const HEADS = {
  alignment: ["1. Which follows the request better?", "Instruments, mood, style, tempo; not whether you like it."],
  musicality: ["2. Which is the better music?", "Melody, rhythm, structure, clean sound; not the request."],
};
const CHOICE_KEYS = { z: "a", x: "tie", c: "b" };
const MOST_EVENTS = 400;

function askTurn(view, turn, { ties, readingSeconds, addressOf, draft, practice }) {
  return new Promise((resolve) => {
    const find = (query) => view.querySelector(query), began = performance.now(), before = draft.load() ?? {};
    const events = before.events ?? [], early = before.at ?? 0;
    const log = (what, clip = "", position = 0) => {
      if (events.length < MOST_EVENTS) events.push({ at: now(), what, clip, position: Number(position.toFixed(2)) });
    };
    const now = () => Number((early + (performance.now() - began) / 1000).toFixed(2));

    find("[data-text]").textContent = turn.prompt.text;
    find("[data-practice]").hidden = !practice;
    find("[data-lyrics-box]").hidden = !turn.prompt.lyrics;
    find("[data-lyrics]").textContent = turn.prompt.lyrics;
    find("[data-reference-box]").hidden = !turn.prompt.reference;
    if (turn.prompt.reference) {
      soundButton(find("[data-reference]"), () => addressOf(turn.prompt.reference), { started: () => log("play", "reference") });
    }

    const form = find("[data-answer]");
    for (const [head, [asked, hint]] of Object.entries(HEADS)) {
      const box = find(`[data-head="${head}"]`);
      box.append(document.getElementById("question").content.cloneNode(true));
      box.querySelector("[data-asked]").textContent = asked;
      box.querySelector("[data-hint]").textContent = hint;
      box.querySelector("[data-tie]").hidden = !ties;
      box.querySelector("[data-choices]").classList.toggle("two", !ties);
      box.querySelectorAll("[data-choices] input").forEach((input) => { input.name = head; });
      box.querySelectorAll("[data-sure] input").forEach((input) => { input.name = `${head}-sure`; });
    }
    find("[data-tie-key]").hidden = !ties;
    for (const [name, value] of Object.entries(before.fields ?? {})) {
      if (form.elements[name]) form.elements[name].value = value;
    }
    const fieldsets = form.querySelectorAll("fieldset");
    fieldsets.forEach((set) => { set.disabled = true; });

    const fields = () => Object.fromEntries(new FormData(form));
    const save = () => draft.save({ fields: fields(), heard: player.memory(), events, at: now(), unlocked: player.unlocked });
    const lacking = () => {
      if (!player.unlocked) return "Read the request first.";
      for (const name of ["a", "b"]) if (player.lacking(name)) return `Listen to clip ${name.toUpperCase()} first.`;
      const given = fields();
      for (const [head, place] of [["alignment", "the first"], ["musicality", "the second"]]) {
        if (!given[head]) return `Answer ${place} question.`;
        if (!given[`${head}-sure`]) return `Say how sure you are of ${place} answer.`;
      }
      return "";
    };
    const update = () => {
      const reason = lacking();
      find("[data-next]").disabled = Boolean(reason);
      if (find("[data-missing]").textContent !== reason) find("[data-missing]").textContent = reason;
      const given = fields(), open = Object.keys(HEADS).find((head) => !given[head] || !given[`${head}-sure`]);
      for (const head of Object.keys(HEADS)) find(`[data-head="${head}"]`).classList.toggle("current", player.unlocked && head === open);
    };
    const changed = () => { save(); update(); };
    const player = new PairPlayer(find("[data-pair]"), turn, addressOf, before.heard ?? {}, log, () => changed());
    find("[data-pair]").classList.add("locked");

    const unlock = () => {
      silence();
      player.unlock();
      player.mark();
      find("[data-pair]").classList.remove("locked");
      find("[data-unlock]").hidden = true;
      fieldsets.forEach((set) => { set.disabled = false; });
      log("unlock");
      changed();
      find('[data-clip="a"] [data-play]').focus({ preventScroll: true });
    };
    const button = find("[data-unlock]");
    const count = () => {
      const left = readingSeconds - (performance.now() - began) / 1000;
      button.disabled = left > 0;
      button.textContent = left > 0 ? `Read the request (${Math.ceil(left)})` : "I have read it: unlock the clips";
      if (left > 0) setTimeout(count, Math.min(200, 1000 * left + 5));
      else button.focus({ preventScroll: true });
    };
    button.addEventListener("click", unlock);
    if (before.unlocked) unlock(); else count();

    form.addEventListener("change", (event) => {
      if (event.target.type === "radio") log("choose");
      changed();
    });
    form.elements.comment.addEventListener("input", save);
    form.addEventListener("submit", (event) => { event.preventDefault(); finish(); });
    const finish = () => {
      if (lacking()) return;
      player.close();
      silence();
      document.removeEventListener("keydown", keys);
      document.removeEventListener("visibilitychange", hidden);
      const given = fields();
      const judged = (head) => ({ choice: given[head], confidence: Number(given[`${head}-sure`]) });
      resolve({
        trial: turn.trial, alignment: judged("alignment"), musicality: judged("musicality"),
        comment: given.comment.trim(), heard_a: player.heard("a"), heard_b: player.heard("b"), events,
      });
    };

    const choose = (name, value) => {
      const input = form.querySelector(`input[name="${name}"][value="${value}"]`);
      if (!input || input.closest("[hidden]") || input.closest("fieldset").disabled) return;
      input.checked = true;
      input.focus({ preventScroll: true }); // so that Enter goes on and does not press what was pressed before
      input.dispatchEvent(new Event("change", { bubbles: true }));
    };
    // The question that keys answer: the last one chosen in, as long as it lacks how sure, else the first that is open.
    const asking = (kind) => {
      const given = fields(), heads = Object.keys(HEADS);
      if (kind === "choice") return heads.find((head) => !given[head] || !given[`${head}-sure`]) ?? heads[1];
      return heads.find((head) => given[head] && !given[`${head}-sure`]) ?? heads.reverse().find((head) => given[head]);
    };
    const keys = (event) => {
      const key = event.key.toLowerCase(), target = event.target;
      if (!find("[data-keys]").checked || event.ctrlKey || event.metaKey || event.altKey) return;
      if (target.matches?.("textarea, input[readonly]")) return;
      const onControl = target.matches?.("button, summary, a, input[type=checkbox]"), onSlider = target.matches?.("input[type=range], input[type=radio]");
      if (key === "a" || key === "b") player.playing === key ? player.pause() : player.play(key);
      else if (key === " " && !onControl && target.type !== "radio") player.toggle();
      else if ((key === "arrowleft" || key === "arrowright") && !onSlider) player.seek(player.position + (key === "arrowleft" ? -1 : 1));
      else if (key === "r" && turn.prompt.reference) find("[data-reference]").click();
      else if (key in CHOICE_KEYS) choose(asking("choice"), CHOICE_KEYS[key]);
      else if (/^[1-5]$/.test(key)) { const head = asking("sure"); if (head) choose(`${head}-sure`, key); }
      else if (key === "enter" && !onControl && !lacking()) finish();
      else return;
      event.preventDefault();
    };
    const hidden = () => log(document.hidden ? "hide" : "show");
    document.addEventListener("keydown", keys);
    document.addEventListener("visibilitychange", hidden);
    update();
  });
}
