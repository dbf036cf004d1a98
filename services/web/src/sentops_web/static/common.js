// What both scripts need: the words of the page's language, and ways to tell people something.

export const words = JSON.parse(document.querySelector("#words").textContent);

export function say(key, values = {}) {
  return words[key].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

// For screen readers; cleared first, so that the same sentence twice is read twice.
export function announce(sentence) {
  const place = document.querySelector("#announce");
  place.textContent = "";
  requestAnimationFrame(() => { place.textContent = sentence; });
}

export function showProblem(place, sentence) {
  const box = make("div", { className: "problem", role: "alert" },
    make("strong", { tabIndex: -1, textContent: words["problem.heading"] }),
    make("p", { textContent: sentence }));
  place.replaceChildren(box);
  box.firstChild.focus();
}

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
