"use strict";
// Where turns come from and answers go without a server: from data.js, and into this browser until they are downloaded.

const backend = {
  trouble: () => {},
  place: `listening-test-static-${DATA.introduction.id}`,

  load() { return JSON.parse(localStorage.getItem(this.place)); },
  save(mine) { localStorage.setItem(this.place, JSON.stringify(mine)); },

  async introduction() { return DATA.introduction; },

  async me() {
    const mine = this.load();
    return mine && this.state(mine);
  },

  async join() {
    const wanted = Number(new URLSearchParams(location.search).get("place") ?? NaN), bytes = crypto.getRandomValues(new Uint8Array(8));
    const drawn = crypto.getRandomValues(new Uint32Array(1))[0] % DATA.schedules.length;
    const mine = {
      rater: Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(""),
      place: Number.isInteger(wanted) && DATA.schedules[wanted] ? wanted : drawn,
      sound_check: null, practised: false, shown_at: null, rows: [],
    };
    this.save(mine);
    return this.state(mine);
  },

  async soundCheck(heard) {
    const mine = this.load();
    mine.sound_check ??= heard;
    mine.rows.forEach((row) => { row.sound_check = mine.sound_check; });
    this.save(mine);
    return this.state(mine);
  },

  async practised() {
    const mine = this.load();
    mine.practised = true;
    return this.state(mine);
  },

  async answer(position, answer) {
    const mine = this.load(), [trial, swapped] = DATA.schedules[mine.place][position];
    if (position === mine.rows.length && trial === answer.trial) { // once
      mine.rows.push({
        study: DATA.introduction.id, rater: mine.rater, place: mine.place, position, swapped,
        shown_at: mine.shown_at, answered_at: Date.now() / 1000, sound_check: mine.sound_check, ...answer,
      });
      mine.shown_at = null;
      this.save(mine);
    }
    return this.state(mine);
  },

  state(mine) {
    const turns = DATA.schedules[mine.place], position = mine.rows.length, described = (turn) => turn && DATA.turns[`${turn[0]}${Number(turn[1])}`];
    const turn = mine.practised && described(turns[position]) || null, following = described(turns[position + 1]);
    if (turn && mine.shown_at === null) { mine.shown_at = Date.now() / 1000; this.save(mine); }
    return {
      rater: mine.rater, position, total: turns.length, sound_checked: mine.sound_check !== null, practised: mine.practised, turn,
      following: following ? [following.a.file, following.b.file] : [],
      code: position < turns.length ? "" : mine.rater.slice(0, 8).toUpperCase(), prolific: false,
    };
  },

  audio: (file) => `audio/${file}`,

  download() {
    const mine = this.load(), lines = mine.rows.map((row) => `${JSON.stringify(row)}\n`);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(lines, { type: "application/jsonl" }));
    link.download = `answers-${mine.rater}.jsonl`;
    link.click();
  },
};
