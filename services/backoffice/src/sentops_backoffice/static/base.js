// What every page has: nothing is needed by it, it only makes things quicker.

// A button that was pressed is not pressed twice.
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (button && !event.defaultPrevented) setTimeout(() => (button.disabled = true));
});
addEventListener("pageshow", () => document.querySelectorAll("button:disabled").forEach((one) => (one.disabled = false)));

// On a phone the menu is wider than the screen: it begins where one is.
const here = document.querySelector(".menu [aria-current]");
if (here) {
  const list = here.closest("ul");
  list.scrollLeft += here.getBoundingClientRect().right - list.getBoundingClientRect().right + 48;
}

// Parts marked data-live="seconds" fetch themselves anew, unless somebody types in them, until the fresh one is marked no more.
// <p data-live-lost hidden> is shown while nothing can be fetched; <p data-live-said role="status"> says the part's [data-say] aloud.
const shown = (selector, yes) => document.querySelectorAll(selector).forEach((one) => (one.hidden = !yes));

const FOCUSABLE = "a[href], button, summary, [tabindex]";

const keepAsItWas = (part, fresh) => {
  const focused = [...part.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
  const opened = [...part.querySelectorAll("details")].map((one) => one.open);
  fresh.querySelectorAll("details").forEach((one, at) => opened[at] && (one.open = true));
  const ticked = new Set([...part.querySelectorAll("[type=checkbox]:checked")].map((one) => `${one.name}=${one.value}`));
  fresh.querySelectorAll("[type=checkbox]").forEach((one) => (one.checked ||= ticked.has(`${one.name}=${one.value}`)));
  const ends = [...part.querySelectorAll("[data-tail]")].map((one) => [one.scrollTop, one.scrollHeight - one.scrollTop - one.clientHeight < 24]);
  part.replaceChildren(...fresh.childNodes);
  if (focused >= 0) part.querySelectorAll(FOCUSABLE)[focused]?.focus({ preventScroll: true });
  part.querySelectorAll("[data-tail]").forEach((one, at) => (one.scrollTop = !ends[at] || ends[at][1] ? one.scrollHeight : ends[at][0]));
};

const sayNews = (part) => {
  const said = document.querySelector("[data-live-said]");
  const text = part.querySelector("[data-say]")?.textContent.trim();
  if (said && text && said.dataset.liveSaid !== text) {
    if (said.dataset.liveSaid) said.textContent = text; // what stood there from the start need not be said
    said.dataset.liveSaid = text;
  }
};

for (const part of document.querySelectorAll("[data-live]")) {
  const seconds = Number(part.dataset.live) || 3;
  let last = "";
  sayNews(part);
  const refresh = async () => {
    if (document.hidden || (part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea"))) return;
    const answer = await fetch(location.href, { redirect: "manual", signal: AbortSignal.timeout(20000) });
    if (answer.type === "opaqueredirect") return location.reload(); // the session has ended: to the login page, and back here
    if (!answer.ok) throw new Error(`answered ${answer.status}`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(part.id);
    shown("[data-live-lost]", false);
    if (!fresh) return;
    if (fresh.innerHTML !== last) {
      last = fresh.innerHTML;
      keepAsItWas(part, fresh);
      sayNews(part);
    }
    if (!fresh.dataset.live) delete part.dataset.live;
  };
  // One after the other: a slow answer never overtakes a quick one. A lost connection is tried again, for as long as it takes.
  const again = () =>
    setTimeout(async () => {
      await refresh().catch(() => shown("[data-live-lost]", true));
      if (part.dataset.live) again();
    }, seconds * 1000);
  again();
}
document.querySelectorAll("[data-tail]").forEach((one) => (one.scrollTop = one.scrollHeight));
