extension LabelPage {
  static let script = #"""
    "use strict";
    const find = id => document.getElementById(id);
    const choices = {
      pairs: [
        {verdict: "left", label: "A is better", keys: ["ArrowLeft"], key: "←", main: true},
        {verdict: "right", label: "B is better", keys: ["ArrowRight"], key: "→", main: true},
        {verdict: "tie", label: "Equal", keys: ["="], key: "="},
      ],
      thumbs: [
        {verdict: "down", label: "Bad", keys: ["ArrowLeft"], key: "←", main: true},
        {verdict: "up", label: "Good", keys: ["ArrowRight"], key: "→", main: true},
      ],
    };
    const others = [
      {verdict: "skip", label: "Skip", keys: ["s", "S"], key: "S"},
      {verdict: "undo", label: "Undo", keys: ["u", "U", "Backspace"], key: "U"},
    ];
    let state = null;
    let waits = false;

    function element(name, attributes, ...children) {
      const made = document.createElement(name);
      for (const [key, value] of Object.entries(attributes)) {
        if (key === "class") made.className = value; else made.setAttribute(key, value);
      }
      made.append(...children);
      return made;
    }

    function fill(place, parts) {
      place.replaceChildren();
      for (const part of parts) {
        if (part.role) place.append(element("div", {class: "role"}, part.role));
        place.append(part.text.trim() === ""
          ? element("p", {class: "empty"}, "(empty)") : element("p", {}, part.text));
      }
    }

    function makeButtons() {
      const list = [...choices[state.mode], ...others];
      find("actions").replaceChildren(...list.map(choice => {
        const few = state.mode === "thumbs" && !choice.main;
        const button = element("button", {type: "button", id: choice.verdict,
          "aria-keyshortcuts": choice.keys[0], class: choice.main ? "main" : few ? "pair" : ""},
          choice.label, element("kbd", {"aria-hidden": "true"}, choice.key));
        button.addEventListener("click", () => act(choice.verdict));
        return button;
      }));
    }

    function show(told) {
      const question = state.question;
      if (!find("actions").childElementCount) makeButtons();
      document.querySelector("h1").textContent =
        state.mode === "thumbs" ? "Is this a good answer?" : "Which answer is better?";
      find("bar").max = state.total;
      find("bar").value = state.done;
      find("count").textContent = `${state.done} of ${state.total}`;
      find("who").textContent = [`Annotator: ${state.annotator}`, ...state.agreements.map(agreement)].join(" · ");
      find("question").hidden = !question;
      find("end").hidden = !!question;
      if (question) {
        fill(find("prompt"), question.prompt);
        find("answers").replaceChildren(...question.answers.map((parts, index) => {
          const name = question.answers.length === 1 ? "Answer" : `Answer ${"AB"[index]}`;
          const text = element("div", {class: "text", dir: "auto"});
          fill(text, parts);
          return element("article", {"aria-label": name}, element("h2", {}, name), text);
        }));
      } else {
        const count = name => state.counts[name] ?? 0;
        const given = state.mode === "thumbs"
          ? `${count("up")} good, ${count("down")} bad, ${count("skip")} skipped.`
          : `${count("first") + count("second")} compared, ${count("tie")} equal, ${count("skip")} skipped.`;
        find("summary").textContent =
          `${given} The labelled rows are in ${state.output}. You can undo, or close this page and press Ctrl-C in the terminal.`;
      }
      lock();
      find("status").textContent = told + (question
        ? `Question ${state.done + 1} of ${state.total}.` : "All questions are judged.");
      scrollTo(0, 0);
      find(question ? "prompt-title" : "end-title").focus({preventScroll: true});
    }

    function agreement(entry) {
      const kappa = entry.kappa === null ? "" : `, κ ${entry.kappa.toFixed(2)}`;
      return `with ${entry.annotator}: ${Math.round(entry.observed * 100)} % of ${entry.count} equal${kappa}`;
    }

    function lock() {
      for (const button of find("actions").children) {
        button.disabled = waits || (button.id === "undo" ? !state.can_undo : !state.question);
      }
    }

    function warn(text) {
      find("alert").hidden = !text;
      find("alert").textContent = text;
    }

    async function ask(path, body) {
      if (waits) return;
      waits = true;
      if (state) lock();
      let told = "";
      try {
        const response = await fetch(path, body
          ? {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)} : {});
        if (response.status !== 200 && response.status !== 409) throw new Error(await response.text());
        state = await response.json();
        warn(response.status === 409
          ? "This was already judged in another window; this page now shows where you are." : "");
        if (body && response.status === 200) told = path === "undo" ? "Undone. " : "Saved. ";
        waits = false;
        show(told);
      } catch (error) {
        waits = false;
        if (state) lock();
        warn(error instanceof TypeError
          ? "dpo label does not answer; is it still running? What you judged before is saved."
          : `Not saved: ${error.message}`);
      }
    }

    function act(verdict) {
      if (!state || waits) return;
      if (verdict === "undo") {
        if (state.can_undo) ask("undo", {revision: state.revision});
      } else if (state.question) {
        ask("answer", {question: state.question.id, verdict, revision: state.revision});
      }
    }

    document.addEventListener("keydown", event => {
      if (!state || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
      const choice = [...choices[state.mode], ...others].find(choice => choice.keys.includes(event.key));
      if (!choice) return;
      event.preventDefault();
      act(choice.verdict);
    });

    // Another window may have gone on meanwhile.
    addEventListener("focus", async () => {
      if (!state || waits) return;
      try {
        const found = await (await fetch("state")).json();
        if (found.revision !== state.revision && !waits) { state = found; warn(""); show(""); }
      } catch { }
    });

    ask("state");

    """#
}
