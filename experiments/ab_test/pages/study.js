"use strict";
// The pages in their order: welcome, sound, practice, turns, thanks. `backend` says where turns come from and where answers go.

const main = document.getElementById("main");

function show(name) {
  silence();
  main.replaceChildren(document.getElementById(name).content.cloneNode(true));
  window.scrollTo(0, 0);
  const heading = main.querySelector("h1");
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  return main;
}

const clicked = (button) => new Promise((resolve) => button.addEventListener("click", resolve, { once: true }));

function tellProgress(state) {
  const bar = document.getElementById("progress");
  bar.hidden = !state;
  document.getElementById("count").textContent = state ? (state.turn ? `Pair ${state.position + 1} of ${state.total}` : "Finished") : "";
  if (state) { bar.max = state.total; bar.value = state.position; }
}

// What was begun of a turn survives a reload.
function draftOf(name) {
  const key = `listening-test-draft-${name}`;
  return {
    load: () => { try { return JSON.parse(sessionStorage.getItem(key)); } catch { return null; } },
    save: (value) => sessionStorage.setItem(key, JSON.stringify(value)),
    clear: () => sessionStorage.removeItem(key),
  };
}

async function welcome(study) {
  const page = show("welcome");
  page.querySelector("[data-title]").textContent = study.title;
  page.querySelector("[data-turns]").textContent = study.turns;
  page.querySelector("[data-minutes]").textContent = study.minutes;
  for (const text of study.consent.split(/\n\s*\n/)) {
    const paragraph = document.createElement("p");
    paragraph.textContent = text;
    page.querySelector("[data-consent]").append(paragraph);
  }
  await new Promise((resolve) => page.querySelector("form").addEventListener("submit", (event) => { event.preventDefault(); resolve(); }));
  return backend.join();
}

async function checkSound(study) {
  const page = show("sound"), choices = page.querySelector("[data-heard]"), go = page.querySelector("[data-go]");
  const heard = [];
  soundButton(page.querySelector("[data-volume]"), () => backend.audio(study.volume));
  const address = () => backend.audio(study.headphones[Math.min(heard.length, study.headphones.length - 1)]);
  const tell = () => { page.querySelector("[data-which]").textContent = `Set ${Math.min(heard.length + 1, study.headphones.length)} of ${study.headphones.length}`; };
  const noises = page.querySelector("[data-noises]");
  const stop = soundButton(noises, address, { ended: () => { choices.disabled = false; } });
  tell();
  choices.addEventListener("click", (event) => {
    if (event.target.tagName !== "BUTTON" || choices.disabled) return;
    stop();
    heard.push(Number(event.target.value));
    choices.disabled = true;
    tell();
    const done = heard.length === study.headphones.length;
    noises.disabled = done;
    noises.textContent = done ? "Done" : "Play the next three noises";
    go.disabled = !done;
    (done ? go : noises).focus();
  });
  await clicked(go);
  return backend.soundCheck(heard);
}

async function practise(study) {
  await clicked(show("explain").querySelector("[data-go]"));
  const draft = draftOf(`${study.id}-practice`);
  await askTurn(show("turn"), study.practice, settings(study, draft, true));
  draft.clear();
  await clicked(show("begin").querySelector("[data-go]"));
  return backend.practised();
}

function settings(study, draft, practice) {
  return { ties: study.ties, readingSeconds: study.reading_seconds, addressOf: backend.audio, draft, practice };
}

async function rate(study, state) {
  const fetched = {};
  while (state.turn) {
    tellProgress(state);
    const ahead = Object.values(fetched), draft = draftOf(`${study.id}-${state.rater}-${state.position}`);
    for (const file of state.following) if (!fetched[file]) fetched[file] = Object.assign(new Audio(backend.audio(file)), { preload: "auto" });
    const answer = await askTurn(show("turn"), state.turn, settings(study, draft, false));
    ahead.forEach((audio) => audio.removeAttribute("src"));
    state = await backend.answer(state.position, answer);
    draft.clear();
  }
  return state;
}

function thank(state) {
  tellProgress(state);
  const page = show("done"), code = page.querySelector("[data-code]");
  code.textContent = state.code;
  page.querySelector("[data-copy]").addEventListener("click", () => copy(state.code));
  if (state.prolific && new URLSearchParams(location.search).get("PROLIFIC_PID")) {
    const link = page.querySelector("[data-prolific]");
    link.href = `https://app.prolific.com/submissions/complete?cc=${encodeURIComponent(state.code)}`;
    link.hidden = false;
  }
  if (backend.download) {
    const button = page.querySelector("[data-download]");
    button.hidden = false;
    page.querySelector("[data-thanks]").textContent = "One more step: download your answers and send the file to the people who asked you.";
    button.addEventListener("click", () => backend.download());
  }
  document.getElementById("later").hidden = true;
}

function tell(text) { document.getElementById("status").textContent = text; }

async function copy(text) {
  try { await navigator.clipboard.writeText(text); tell("Copied"); } catch { tell("Please copy it by hand"); }
  setTimeout(() => tell(""), 2000);
}

async function run() {
  backend.trouble = tell;
  const study = await backend.introduction();
  let state = await backend.me() ?? await welcome(study);
  if (backend.link) {
    document.getElementById("link").value = backend.link();
    document.getElementById("later").hidden = false;
  }
  if (!state.sound_checked) state = await checkSound(study);
  if (!state.practised) state = await practise(study);
  thank(await rate(study, state));
}

async function start() {
  try { await run(); } catch (error) {
    const page = show("trouble");
    page.querySelector("[data-reason]").textContent = error.message;
    await clicked(page.querySelector("[data-go]"));
    location.reload();
  }
}

document.getElementById("copy-link").addEventListener("click", () => copy(document.getElementById("link").value));
start();
