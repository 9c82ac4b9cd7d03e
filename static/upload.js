// Says that a file is too large before it travels. The server checks again.
"use strict";
const input = document.querySelector("input[type=file][data-limit-bytes]");
input?.addEventListener("change", () => {
  const limit = Number(input.dataset.limitBytes);
  const tooLarge = [...input.files].some((file) => file.size > limit);
  input.setCustomValidity(tooLarge ? `At most ${(limit / 1e6).toFixed(0)} MB are accepted at once.` : "");
  input.reportValidity();
});
