"use strict";
// Where turns come from and answers go: the server. Everything is sent until there is a reply, which the server takes once.

const studyName = location.pathname.split("/").filter(Boolean)[1];

const secretPlace = `listening-test-${studyName}`, given = /^#([0-9a-f]{64})$/.exec(location.hash);
if (given) { // an address to go on with on another device
  localStorage.setItem(secretPlace, given[1]);
  history.replaceState(null, "", location.pathname + location.search);
}

const backend = {
  secret: localStorage.getItem(secretPlace),
  trouble: () => {}, // called with a text while there is no connection, then with ""

  async call(method, path, body) {
    for (let wait = 500; ; wait = Math.min(2 * wait, 8000)) {
      let reply = null;
      try {
        reply = await fetch(`api/${path}`, {
          method,
          headers: { "Authorization": `Bearer ${this.secret}`, "Content-Type": "application/json" },
          body: body === undefined ? undefined : JSON.stringify(body),
        });
        if (reply.status < 500) {
          const found = await reply.json();
          this.trouble("");
          if (!reply.ok) throw Object.assign(new Error(found.error), { status: reply.status });
          return found;
        }
      } catch (error) {
        if (error.status) throw error;
      }
      this.trouble("No connection. Your answers are safe; trying again …");
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  },

  introduction() { return this.call("GET", "study"); },
  async me() {
    if (!this.secret) return null;
    try { return await this.call("GET", "me"); } catch (error) { if (error.status === 401) return null; throw error; }
  },
  join() {
    if (!this.secret) {
      const bytes = crypto.getRandomValues(new Uint8Array(32));
      this.secret = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
      localStorage.setItem(secretPlace, this.secret); // before it is sent: a lost reply must not lose the place
    }
    const given = new URLSearchParams(location.search), origin = {};
    for (const name of ["PROLIFIC_PID", "STUDY_ID", "SESSION_ID"]) if (given.get(name)) origin[name] = given.get(name);
    return this.call("PUT", "me", { consent: true, origin });
  },
  soundCheck(heard) { return this.call("PUT", "me/sound_check", { heard }); },
  practised() { return this.call("PUT", "me/practised"); },
  answer(position, answer) { return this.call("PUT", `me/turns/${position}`, answer); },
  audio: (file) => `audio/${file}`,
  link() { return `${location.origin}${location.pathname}#${this.secret}`; },
};
