// Sends the file in parts by tus, so that it goes on where it broke off: after a pause, a lost connection, a reload.
// Without this script the form sends it in one piece. The server checks everything again.
"use strict";
(() => {
  const PART_BYTES = 8 * 2 ** 20;
  const RETRY_MS = [0, 1000, 3000, 5000, 10000, 20000, 30000];
  const KEPT_MS = 86400e3;

  const form = document.getElementById("upload");
  const at = (id) => document.getElementById(id);
  const input = form.elements.file;

  input.addEventListener("change", () => {
    const limit = Number(input.dataset.limitBytes);
    const tooLarge = [...input.files].some((file) => file.size > limit);
    input.setCustomValidity(tooLarge ? `At most ${size(limit)} are accepted at once.` : "");
    input.reportValidity();
  });

  if (!window.tus?.isSupported) return;

  const storage = tus.defaultOptions.urlStorage;
  const kept = `philately-${form.dataset.user}-${form.dataset.endpoint}`;
  let upload = null;
  let pace = null;
  let isPaused = false;
  let isCancelled = false;

  function size(bytes) {
    const [unit, factor] = [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]].find(([, least]) => bytes >= least) ?? ["bytes", 1];
    return `${factor > 1 ? Number((bytes / factor).toPrecision(3)) : bytes} ${unit}`;
  }

  function duration(seconds) {
    if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
    return seconds < 3600 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
  }

  function metadata() {
    const told = { filename: input.files[0].name, method: form.elements.method.value.trim() };
    told.method_description = form.elements.method_description.value;
    told.consent = form.elements.consent.checked ? "yes" : "no";
    told.dry_run = form.elements.dry_run.checked ? "yes" : "no";
    return told;
  }

  // What is sent under other words is another upload.
  function fingerprint(file, options) {
    const told = [file.name, file.size, file.lastModified, ...Object.values(options.metadata)];
    return Promise.resolve(`${kept}-${JSON.stringify(told)}`);
  }

  const common = () => ({
    endpoint: form.dataset.endpoint,
    headers: { "X-CSRFToken": form.elements.csrfmiddlewaretoken.value },
    retryDelays: RETRY_MS,
  });

  function begin() {
    let result = null;
    const file = input.files[0];
    upload = new tus.Upload(file, {
      ...common(),
      chunkSize: PART_BYTES,
      metadata: metadata(),
      fingerprint,
      removeFingerprintOnSuccess: true,
      onProgress: show,
      onAfterResponse: (request, response) => {
        result = response.getHeader("Upload-Result") ?? result;
      },
      onShouldRetry: (error) => {
        if (isCancelled) return !isRefusal(error);  // the part that was under way may hold the lock for a moment
        const retries = !isRefusal(error) && !isPaused;
        if (retries) say("The connection is lost; trying again …");
        return retries;
      },
      onError: stopped,
      onSuccess: () => {
        say("Done.");
        window.removeEventListener("beforeunload", warn);
        if (result) window.location.assign(result);
      },
    });
    at("sending-title").textContent = `Uploading ${file.name}`;
    show(0, file.size);
    begun(true);
    go();
  }

  async function go() {
    isPaused = isCancelled = false;
    pace = null;
    at("pause").textContent = "Pause";
    say("");
    if (!upload.url) {
      const [previous] = await upload.findPreviousUploads();
      if (previous) {
        upload.resumeFromPreviousUpload(previous);
        say("Going on where it broke off.");
      }
    }
    upload.start();
  }

  async function pause(why) {
    isPaused = true;
    at("pause").textContent = "Resume";
    at("figures").textContent = at("figures").textContent.split(",")[0];  // without the time left
    say(why);
    await upload.abort();
  }

  function stopped(error) {
    if (isRefusal(error)) {
      const told = error.originalResponse.getBody().trim();
      at("refusal").textContent = told || "The upload was refused.";
      at("refusal").hidden = false;
      begun(false);
      at("refusal").scrollIntoView({ block: "center" });
      return;
    }
    pause("The connection is lost. What was sent is kept; resume when it is back.");
  }

  // A conflict and a lock are of the moment; the client asks again where to go on.
  function isRefusal(error) {
    const status = error.originalResponse?.getStatus() ?? 0;
    return status >= 400 && status < 500 && status !== 409 && status !== 423;
  }

  function show(sent, total) {
    const now = performance.now();
    pace ??= { since: now, from: sent };
    at("sent").max = Math.max(total, 1);
    at("sent").value = sent;
    const percent = total ? Math.floor((100 * sent) / total) : 0;
    const rate = (sent - pace.from) / (now - pace.since);
    const left = rate > 0 && now - pace.since > 1000 ? `, about ${duration((total - sent) / rate / 1000)} left` : "";
    at("figures").textContent = `${percent} %: ${size(sent)} of ${size(total)}${left}`;
    if (sent > pace.from && !isPaused) say("");
  }

  function say(text) {
    if (at("sending-state").textContent !== text) at("sending-state").textContent = text;
  }

  function begun(isSending) {
    form.hidden = isSending;
    at("sending").hidden = !isSending;
    if (isSending) {
      for (const id of ["refusal", "unfinished", "form-errors"]) at(id)?.setAttribute("hidden", "");
      window.addEventListener("beforeunload", warn);
    } else {
      window.removeEventListener("beforeunload", warn);
    }
  }

  function warn(event) {
    if (!isPaused) event.preventDefault();
  }

  async function unfinished() {
    const all = (await storage.findAllUploads()).filter((one) => one.urlStorageKey.startsWith(`tus::${kept}`));
    const isOld = (one) => Date.now() - new Date(one.creationTime).getTime() > KEPT_MS;
    for (const one of all.filter(isOld)) await storage.removeUpload(one.urlStorageKey);
    return all.filter((one) => !isOld(one)).at(-1);
  }

  // The browser does not give the file back after a reload: whoever goes on chooses it again.
  async function offer() {
    const broken = await unfinished();
    if (!broken) return;
    const told = broken.metadata;
    for (const name of ["method", "method_description"]) form.elements[name].value = told[name] ?? "";
    for (const name of ["consent", "dry_run"]) form.elements[name].checked = told[name] === "yes";
    const forget = document.createElement("button");
    forget.type = "button";
    forget.className = "linklike";
    forget.textContent = "Forget it";
    forget.addEventListener("click", async () => {
      at("unfinished").hidden = true;
      await storage.removeUpload(broken.urlStorageKey);
      await tus.Upload.terminate(broken.uploadUrl, common()).catch(() => {});
    });
    const text = `The upload of ${told.filename} broke off. Choose it again and press Upload: it goes on from there. `;
    at("unfinished").replaceChildren(text, forget);
    at("unfinished").hidden = false;
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    begin();
  });
  at("pause").addEventListener("click", () => (isPaused ? go() : pause("Paused. What was sent is kept for a day.")));
  at("cancel").addEventListener("click", async () => {
    isPaused = isCancelled = true;
    say("Cancelling …");
    await upload.abort(true).catch(() => {});
    begun(false);
  });
  window.addEventListener("online", () => isPaused && upload && !at("sending").hidden && go());
  offer();
})();
