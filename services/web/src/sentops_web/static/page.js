// What the page does beyond its plain forms: answers without a reload, live progress, comfort for hands.

import { announce, problemSentence, showProblem, words } from "./common.js";
import "./many.js";

for (const element of document.querySelectorAll("[data-script]")) element.hidden = false;

// Forms that name a place put the server's answer there instead of loading a page.
document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-into]");
  if (!form) return;
  event.preventDefault();
  if (form.ariaBusy === "true") return;
  const place = document.querySelector(form.dataset.into);
  const body = new URLSearchParams(new FormData(form, event.submitter));
  form.ariaBusy = "true";
  announce(words["js.working"]);
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { "x-fragment": "1" } });
    if (!answer.headers.get("content-type")?.startsWith("text/html")) {
      showProblem(place, await problemSentence(answer));
      return;
    }
    put(place, await answer.text());
    // Not waited for: the next question may be asked as soon as the answer is there.
    if (answer.ok && place.id === "answer") refreshHistory();
  } catch {
    showProblem(place, words["js.offline"]);
  } finally {
    form.ariaBusy = "false";
  }
});

function put(place, html) {
  place.innerHTML = html; // ours: rendered and escaped by the server
  localTimes(place);
  place.querySelector("[data-focus]")?.focus();
  announce(place.querySelector("[data-announce]")?.dataset.announce ?? "");
}

let refreshes = 0;

async function refreshHistory() {
  const place = document.querySelector("#history");
  const mine = ++refreshes;
  try {
    const answer = await fetch(place.dataset.refresh);
    const html = await answer.text();
    if (!answer.ok || mine !== refreshes) return; // a newer one is on its way
    place.innerHTML = html;
    localTimes(place);
  } catch {
    // The answer itself was shown; the history follows with the next one.
  }
}

function localTimes(place) {
  for (const time of place.querySelectorAll("time")) {
    time.textContent = new Date(time.dateTime).toLocaleString(document.documentElement.lang, {
      dateStyle: "medium",
      timeStyle: "short",
    });
  }
}
localTimes(document);

// The text box: a counter near its end, Ctrl+Enter, examples.
const text = document.querySelector("#text");
const counter = document.querySelector("#counter");
text.addEventListener("input", () => {
  const most = Number(counter.dataset.most);
  counter.hidden = text.value.length < most * 0.8;
  counter.textContent = `${text.value.length.toLocaleString()} / ${most.toLocaleString()}`;
});
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) text.form.requestSubmit();
});
for (const example of document.querySelectorAll("[data-example]")) {
  example.addEventListener("click", () => {
    text.value = example.textContent;
    text.form.requestSubmit();
  });
}

// Training progress: often while something is being trained, rarely otherwise.
const training = document.querySelector("#training");
let shown = "";
const isReady = () => training.querySelector("[data-ready]")?.dataset.ready === "yes";

async function watchTraining() {
  const before = isReady();
  try {
    const answer = await fetch(training.dataset.poll);
    if (answer.ok) {
      const html = await answer.text();
      if (html !== shown) training.innerHTML = shown = html;
    }
  } catch {
    // The next round tries again; asking tells people if the service is away.
  }
  if (!before && isReady()) announce(words["js.model_ready"]);
  plan();
}
function plan() {
  const soon = training.querySelector("[data-soon]") && !document.hidden;
  setTimeout(watchTraining, soon ? 2000 : 15000);
}
plan();
