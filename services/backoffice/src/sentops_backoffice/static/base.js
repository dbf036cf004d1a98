// What every page has: nothing is needed by it, it only makes things quicker.

// A button that was pressed is not pressed twice.
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (button && !event.defaultPrevented) setTimeout(() => (button.disabled = true));
});
addEventListener("pageshow", () => document.querySelectorAll("button:disabled").forEach((one) => (one.disabled = false)));

// Parts marked data-live="seconds" fetch themselves anew, unless somebody works in them.
for (const part of document.querySelectorAll("[data-live]")) {
  const seconds = Number(part.dataset.live) || 3;
  const refresh = async () => {
    if (document.hidden || part.contains(document.activeElement)) return;
    const answer = await fetch(location.href, { redirect: "error" });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(part.id);
    if (fresh && fresh.innerHTML !== part.innerHTML) part.replaceChildren(...fresh.childNodes);
  };
  setInterval(() => refresh().catch(() => {}), seconds * 1000); // a lost connection is tried again
}
