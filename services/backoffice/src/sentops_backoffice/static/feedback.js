// One box ticks all boxes of the page.
for (const part of document.querySelectorAll("[data-all]")) {
  const all = part.querySelector("input");
  const boxes = [...part.closest("form").querySelectorAll("input[name=vote]")];
  part.hidden = boxes.length < 2;
  const look = () => {
    const ticked = boxes.filter((box) => box.checked).length;
    all.checked = ticked === boxes.length;
    all.indeterminate = ticked > 0 && ticked < boxes.length;
  };
  all.addEventListener("change", () => boxes.forEach((box) => (box.checked = all.checked)));
  boxes.forEach((box) => box.addEventListener("change", look));
  look();
}
