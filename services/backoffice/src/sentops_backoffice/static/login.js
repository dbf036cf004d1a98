// Browsers keep what stands behind the # when they are sent here; the form takes it along to the page that was wanted.
if (location.hash) document.querySelector("input[name=next]").value += location.hash;
