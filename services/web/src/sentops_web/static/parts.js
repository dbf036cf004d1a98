// Forms and parts of any page: answers without a reload, what is loaded later, dates in local time, links to copy.

import { announce, locale, problemSentence, say, showProblem, words } from "./common.js";

for (const element of document.querySelectorAll("[data-script]")) element.hidden = false;

// Forms that name a place put the server's answer there instead of loading a page; a refusal goes where they say, so
// that nothing that was written is lost.
document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-into]");
  if (!form) return;
  event.preventDefault();
  if (form.ariaBusy === "true") return;
  const place = document.querySelector(form.dataset.into);
  const trouble = document.querySelector(form.dataset.trouble ?? form.dataset.into);
  const body = new URLSearchParams(new FormData(form, event.submitter));
  form.ariaBusy = "true";
  announce(words["js.working"]);
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { "x-fragment": "1" } });
    if (!answer.headers.get("content-type")?.startsWith("text/html")) {
      showProblem(trouble, await problemSentence(answer));
      return;
    }
    put(answer.ok ? place : trouble, await answer.text());
    if (answer.ok) place.dispatchEvent(new Event("answered", { bubbles: true }));
  } catch {
    showProblem(trouble, words["js.offline"]);
  } finally {
    form.ariaBusy = "false";
  }
});

function put(place, html) {
  place.innerHTML = html; // ours: rendered and escaped by the server
  prepare(place);
  place.querySelector("[data-focus]")?.focus();
  announce(place.querySelector("[data-announce]")?.dataset.announce ?? "");
}

export function prepare(place) {
  localTimes(place);
  copyButtons(place);
  waits(place);
  loadLater(place);
}

// What may come after the answer: nobody waits for it, and without it everything else is as it was.
function loadLater(place) {
  for (const part of place.querySelectorAll("[data-load]")) load(part);
}

const loaded = new Map(); // by address: a vote redraws its answer, and what is beside it stays as it was

async function load(part) {
  const address = part.dataset.load;
  try {
    if (!loaded.has(address)) {
      const answer = await fetch(address, { headers: { "x-fragment": "1" } });
      if (!answer.ok) return; // the link stays
      loaded.set(address, await answer.text());
    }
    part.innerHTML = loaded.get(address);
  } catch {
    // The link stays.
  }
}

function localTimes(place) {
  for (const time of place.querySelectorAll("time")) {
    const style = "day" in time.dataset ? { dateStyle: "long" } : { dateStyle: "medium", timeStyle: "short" };
    time.textContent = new Date(time.dateTime).toLocaleString(locale, style);
  }
}

// Browsers let pages write to the clipboard over HTTPS and on this machine only; elsewhere the link itself is there.
function copyButtons(place) {
  for (const button of place.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).href);
        announce(words["js.copied"]);
        button.textContent = words["js.copied"];
      } catch {
        document.querySelector(button.dataset.copy).focus();
      }
    });
  }
}

// Told to wait, people are told when they need not wait any longer.
export function waits(place) {
  for (const box of place.querySelectorAll("[data-wait]")) {
    setTimeout(() => {
      if (!box.isConnected) return;
      box.classList.add("over");
      box.querySelector("p").textContent = say("js.go_on");
      announce(words["js.go_on"]);
    }, Number(box.dataset.wait) * 1000);
  }
}

prepare(document);
