// What pages do beyond plain HTML: dates in the reader's zone, regions that follow the server, text to copy, no form sent twice.
// A region is an element with an id and `data-live`; the server says that something changed, and the page asks for itself again.
"use strict";

const FORMS = {
  moment: { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  day: { day: "numeric", month: "short", year: "numeric" },
};

function dress(root) {
  for (const time of root.querySelectorAll("time[data-form]")) {
    const when = new Date(time.dateTime);
    if (!Number.isNaN(when.valueOf())) time.textContent = new Intl.DateTimeFormat("en-GB", FORMS[time.dataset.form]).format(when);
  }
  for (const cell of root.querySelectorAll("tbody td:not([data-label])")) { // for narrow screens, where rows become blocks
    cell.dataset.label = cell.closest("table").tHead?.rows[0].cells[cell.cellIndex]?.textContent ?? "";
  }
}

function say(words) {
  const place = document.getElementById("live-state");
  if (place && place.textContent !== words) place.textContent = words;
}

function replace(old, fresh) {
  const held = old.contains(document.activeElement) ? document.activeElement : null;
  if (held && held.matches("input:not([type=hidden]), select, textarea")) return; // somebody is typing here
  for (const open of old.querySelectorAll("details[id][open]")) {
    const same = fresh.querySelector(`#${CSS.escape(open.id)}`);
    if (same) same.open = true;
  }
  if (old.isEqualNode(fresh)) return;
  const across = [...old.querySelectorAll(".table-scroll")].map((each) => each.scrollLeft);
  old.replaceWith(fresh);
  fresh.querySelectorAll(".table-scroll").forEach((each, index) => { each.scrollLeft = across[index] || 0; });
  if (held && held.id) document.getElementById(held.id)?.focus({ preventScroll: true });
}

let asking = false;
let askAgain = false;

async function refresh() {
  if (asking) { askAgain = true; return; }
  asking = true;
  try {
    const answer = await fetch(location.href, { headers: { "X-C2lst-Live": "1" }, cache: "no-store" });
    if (answer.redirected || answer.status === 401) { say("Your session has ended: load the page again to sign in."); return; }
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    dress(page);
    for (const old of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(old.id);
      if (fresh) replace(old, fresh);
    }
    say("");
  } catch { // the server is away; the stream says when it is back
  } finally {
    asking = false;
    if (askAgain) { askAgain = false; refresh(); }
  }
}

let source = null;
let wait = 1; // seconds until the next try, when the server refuses

function listen() {
  if (source || document.hidden || !document.body.dataset.live) return;
  source = new EventSource(document.body.dataset.live);
  source.addEventListener("change", () => { wait = 1; refresh(); });
  source.addEventListener("error", () => {
    say("No connection to the server: what you see may be old. Trying again …");
    if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    source = null;
    refresh(); // says so when it is the session that has ended
    setTimeout(listen, 1000 * wait * (1 + Math.random()));
    wait = Math.min(2 * wait, 30);
  });
}

document.addEventListener("visibilitychange", () => { // hidden pages hold no connection
  if (document.hidden) { source?.close(); source = null; } else listen();
});
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = "Copied";
});
document.addEventListener("submit", (event) => {
  if ("download" in event.target.dataset) return; // the page stays
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "1";
});
window.addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));
dress(document);
listen();
