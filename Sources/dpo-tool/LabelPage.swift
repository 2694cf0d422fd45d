/// The page on which people label. It has no asset from elsewhere and shows texts as text.
enum LabelPage {
  static let html = """
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Label – dpo</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="page.css">
    <script src="page.js" defer></script>
    </head>
    <body>
    <header>
      <h1>Which answer is better?</h1>
      <div class="progress">
        <progress id="bar" aria-label="Questions judged" value="0" max="1"></progress>
        <span id="count"></span>
      </div>
      <p id="who"></p>
    </header>
    <p id="alert" role="alert" hidden></p>
    <p id="status" class="hidden" role="status" aria-live="polite"></p>
    <main>
      <section id="question" aria-labelledby="prompt-title" hidden>
        <h2 id="prompt-title" tabindex="-1">Prompt</h2>
        <div id="prompt" class="text" dir="auto"></div>
        <div id="answers"></div>
      </section>
      <section id="end" hidden>
        <h2 id="end-title" tabindex="-1">All done</h2>
        <p id="summary"></p>
      </section>
    </main>
    <nav id="actions" aria-label="Judge the answers"></nav>
    <noscript>This page needs JavaScript; it comes from your own machine.</noscript>
    </body>
    </html>

    """

  static let style = """
    :root {
      color-scheme: light dark;
      --paper: #f6f5f2; --card: #ffffff; --ink: #1c1b1a; --soft: #5a5652; --line: #cfcac3;
      --accent: #1d4f91; --on-accent: #ffffff; --warn: #8a1f11;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --paper: #191817; --card: #242321; --ink: #efede9; --soft: #b5afa7; --line: #4a4742;
        --accent: #9cc2f5; --on-accent: #10233b; --warn: #ffb4a6;
      }
    }
    * { box-sizing: border-box; }
    html { font: 17px/1.5 system-ui, sans-serif; background: var(--paper); color: var(--ink); }
    body { margin: 0 auto; max-width: 72rem; padding: 0 1rem; display: flex; flex-direction: column; min-height: 100dvh; }
    header { display: flex; flex-wrap: wrap; gap: .2rem 1.5rem; align-items: baseline; padding: .8rem 0 .2rem; }
    h1 { font-size: 1.15rem; margin: 0; flex: 1 1 auto; }
    h2 { font-size: .95rem; color: var(--soft); margin: .8rem 0 .3rem; }
    .progress { display: flex; gap: .6rem; align-items: center; font-variant-numeric: tabular-nums; }
    progress { width: 9rem; height: .6rem; accent-color: var(--accent); }
    #who { margin: 0; font-size: .85rem; color: var(--soft); flex-basis: 100%; }
    main { flex: 1; padding-bottom: 1rem; }
    .text { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .7rem .9rem; }
    .text p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
    .text p + .role, .text p + p { margin-top: .6rem; }
    .text .role { font-size: .8rem; font-weight: 600; color: var(--soft); }
    .empty { color: var(--soft); font-style: italic; }
    #prompt { max-height: 40dvh; overflow: auto; }
    #answers { display: grid; gap: 0 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
    #answers article { display: flex; flex-direction: column; min-width: 0; }
    #answers .text { flex: 1; }
    #actions {
      position: sticky; bottom: 0; display: grid; gap: .5rem; grid-template-columns: repeat(6, 1fr);
      padding: .6rem 0 max(.6rem, env(safe-area-inset-bottom)); background: var(--paper);
      border-top: 1px solid var(--line);
    }
    button {
      font: inherit; padding: .45rem .6rem; min-height: 2.8rem; border-radius: .5rem; cursor: pointer;
      border: 1px solid var(--soft); background: var(--card); color: var(--ink); grid-column: span 2;
    }
    button.main { grid-column: span 3; background: var(--accent); color: var(--on-accent); border-color: var(--accent);
      font-weight: 600; }
    button:disabled { opacity: .45; cursor: default; }
    button.pair { grid-column: span 3; }
    h2:focus { outline: none; }
    :focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
    kbd { font: inherit; font-size: .8em; border: 1px solid currentColor; border-radius: .25rem; padding: 0 .35em;
      margin-inline-start: .35em; }
    #alert { background: var(--card); border: 2px solid var(--warn); color: var(--warn); border-radius: .5rem;
      padding: .5rem .9rem; margin: .5rem 0 0; }
    .hidden { position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%); }
    @media (max-width: 40rem) {
      h1 { font-size: 1rem; flex-basis: 100%; }
      h2 { margin: .6rem 0 .2rem; }
      kbd { display: none; }
      #prompt { max-height: 30dvh; }
    }

    """
}
