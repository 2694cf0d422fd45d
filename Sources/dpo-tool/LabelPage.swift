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
    <script src="text.js" defer></script>
    <script src="page.js" defer></script>
    </head>
    <body>
    <header>
      <h1>Which answer is better?</h1>
      <p id="who"></p>
      <div class="progress">
        <progress id="bar" aria-label="Questions judged" value="0" max="1"></progress>
        <span id="count"></span>
      </div>
      <div class="tools">
        <button type="button" id="markdown" aria-pressed="false" aria-keyshortcuts="M">Markdown<kbd aria-hidden="true">M</kbd></button>
        <button type="button" id="keys" aria-keyshortcuts="?">Keys<kbd aria-hidden="true">?</kbd></button>
      </div>
    </header>
    <p id="alert" role="alert" hidden></p>
    <p id="status" role="status" aria-live="polite"></p>
    <main>
      <section id="question" aria-labelledby="prompt-title" hidden>
        <h2 id="prompt-title" tabindex="-1">Prompt</h2>
        <div id="prompt" class="text" dir="auto" tabindex="0" role="group" aria-labelledby="prompt-title"></div>
        <div id="answers"></div>
      </section>
      <section id="end" hidden>
        <h2 id="end-title" tabindex="-1">All done</h2>
        <p id="summary"></p>
      </section>
    </main>
    <div id="foot">
      <div id="order" role="group" aria-label="Your order, best first" hidden></div>
      <input id="comment" maxlength="1000" autocomplete="off" aria-label="Comment" aria-keyshortcuts="/"
        placeholder="Comment (key /), kept with your verdict">
      <nav id="actions" aria-label="Judge the answers"></nav>
    </div>
    <dialog id="help" aria-labelledby="help-title">
      <h2 id="help-title">Keys</h2>
      <dl id="help-keys"></dl>
      <form method="dialog"><button>Close</button></form>
    </dialog>
    <noscript>This page needs JavaScript; it comes from your own machine.</noscript>
    </body>
    </html>

    """

  static let style = """
    :root {
      color-scheme: light dark;
      --paper: #f6f5f2; --card: #ffffff; --ink: #1c1b1a; --soft: #5a5652; --line: #cfcac3; --code: #f1efea;
      --accent: #1d4f91; --on-accent: #ffffff; --warn: #8a1f11;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --paper: #191817; --card: #242321; --ink: #efede9; --soft: #b5afa7; --line: #4a4742; --code: #1c1b1a;
        --accent: #9cc2f5; --on-accent: #10233b; --warn: #ffb4a6;
      }
    }
    * { box-sizing: border-box; }
    [hidden] { display: none !important; }
    html { font: 17px/1.5 system-ui, sans-serif; background: var(--paper); color: var(--ink); }
    /* The page itself does not scroll: what is above and below the answers stays in view, and each answer scrolls by itself. */
    body { margin: 0 auto; max-width: 84rem; height: 100dvh; padding: 0 1rem; display: flex; flex-direction: column; }
    header { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; align-items: center; padding: .5rem 0 .1rem; }
    h1 { font-size: 1.15rem; margin: 0; flex: 1 1 auto; }
    h2 { font-size: .95rem; color: var(--soft); margin: .5rem 0 .2rem; }
    .progress { display: flex; gap: .6rem; align-items: center; font-variant-numeric: tabular-nums; }
    progress { width: 9rem; height: .6rem; accent-color: var(--accent); }
    .tools { display: flex; gap: .4rem; }
    .tools button { min-height: 2rem; padding: 0 .6rem; font-size: .85rem; }
    button[aria-pressed="true"] { background: var(--accent); color: var(--on-accent); border-color: var(--accent); }
    #who { margin: 0; font-size: .85rem; color: var(--soft); }
    #status { margin: 0; min-height: 1.5em; font-size: .9rem; color: var(--soft); }
    #status.undone { color: var(--ink); font-weight: 600; border-left: 4px solid var(--accent); padding-left: .5rem; }
    main { flex: 1 1 0; min-height: 0; overflow: auto; }
    #question { display: flex; flex-direction: column; min-height: 100%; height: 100%; }
    .text { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .9rem; overflow: auto; }
    .text p { margin: 0; overflow-wrap: anywhere; }
    .text p.plain { white-space: pre-wrap; }
    .text > * + * { margin-top: .5rem; }
    .text .role { font-size: .8rem; font-weight: 600; color: var(--soft); }
    .text pre { margin: 0; padding: .5rem .7rem; overflow-x: auto; background: var(--code); border-radius: .35rem; tab-size: 4; }
    .text pre, .text :not(pre) > code { font: .88em/1.45 ui-monospace, "DejaVu Sans Mono", Consolas, monospace; }
    .text pre code { font: inherit; }
    .text :not(pre) > code { background: var(--code); padding: .05em .3em; border-radius: .25rem; }
    .text h3, .text h4, .text h5, .text h6 { font-size: 1.02rem; margin: .8rem 0 0; }
    .text h3 { font-size: 1.15rem; }
    .text ul, .text ol { margin: 0; padding-left: 1.5rem; }
    .text * + ul, .text * + ol, .text * + p, .text * + pre, .text * + table, .text * + blockquote { margin-top: .5rem; }
    .text blockquote { margin: 0; padding-left: .8rem; border-left: 3px solid var(--line); color: var(--soft); }
    .text table { border-collapse: collapse; } .text th, .text td { border: 1px solid var(--line); padding: .15rem .5rem; }
    .text hr { border: 0; border-top: 1px solid var(--line); }
    .fence, .address, .empty { color: var(--soft); }
    .empty { font-style: italic; }
    .marks { color: var(--warn); font-style: normal; font-family: ui-monospace, "DejaVu Sans Mono", monospace; }
    #prompt { flex: none; max-height: 28dvh; }
    /* --rows and --columns come with the answers. */
    #answers { display: grid; gap: 0 1rem; flex: 1 1 0; min-height: calc(var(--rows, 1) * 10rem); padding-bottom: .5rem;
      grid-template-columns: repeat(var(--columns, 1), minmax(0, 1fr)); grid-auto-rows: minmax(10rem, 1fr); }
    #answers article { display: flex; flex-direction: column; min-width: 0; min-height: 0; }
    #answers .head { display: flex; align-items: center; gap: .6rem; position: sticky; top: 0; background: var(--paper); }
    #answers .head button { min-height: 2rem; padding: 0 .6rem; font-size: .85rem; margin-top: .25rem; }
    #answers .text { flex: 1 1 0; min-height: 0; }
    #foot { padding: .4rem 0 max(.5rem, env(safe-area-inset-bottom)); border-top: 1px solid var(--line); display: grid; gap: .4rem; }
    #comment { font: inherit; font-size: 1rem; width: 100%; padding: .3rem .7rem; border: 1px solid var(--soft); border-radius: .5rem;
      background: var(--card); color: var(--ink); }
    #comment::placeholder { color: var(--soft); opacity: 1; }
    #order { display: flex; flex-wrap: wrap; gap: .3rem; align-items: center; min-height: 2.8rem; }
    #order .hint { color: var(--soft); font-size: .9rem; }
    .chip { min-width: 2.8rem; touch-action: none; user-select: none; cursor: grab; font-weight: 600; }
    .chip.dragged { outline: 3px solid var(--accent); cursor: grabbing; }
    .relation { border: 0; background: none; min-width: 2.4rem; padding: 0; font-weight: 600; }
    #actions { display: grid; gap: .5rem; grid-template-columns: repeat(12, 1fr); }
    button { font: inherit; padding: .35rem .6rem; min-height: 2.8rem; border-radius: .5rem; cursor: pointer;
      border: 1px solid var(--soft); background: var(--card); color: var(--ink); }
    #actions button { grid-column: span 3; }
    #actions button.main { grid-column: span 6; background: var(--accent); color: var(--on-accent); border-color: var(--accent);
      font-weight: 600; }
    #actions.thumbs button { grid-column: span 6; }
    button:disabled { opacity: .45; cursor: default; }
    h2:focus { outline: none; }
    :focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
    .text:focus-visible { outline-offset: -3px; }
    kbd { font: inherit; font-size: .8em; border: 1px solid currentColor; border-radius: .25rem; padding: 0 .35em;
      margin-inline-start: .35em; }
    #alert { background: var(--card); border: 2px solid var(--warn); color: var(--warn); border-radius: .5rem;
      padding: .4rem .9rem; margin: .3rem 0; }
    dialog { background: var(--card); color: var(--ink); border: 1px solid var(--soft); border-radius: .6rem; max-width: min(34rem, calc(100% - 1.5rem)); }
    dialog::backdrop { background: rgb(0 0 0 / .5); }
    dl { display: grid; grid-template-columns: auto 1fr; gap: .3rem 1rem; margin: .5rem 0 1rem; }
    dd { margin: 0; }
    dt kbd { margin: 0 .3em 0 0; }
    @media (max-width: 40rem) {
      html { font-size: 16px; }
      body { padding: 0 .7rem; }
      h1 { font-size: 1rem; }
      header { display: grid; grid-template-columns: 1fr auto; gap: .2rem .6rem; }
      .tools { grid-area: 1 / 2; }
      .tools button { padding: 0 .4rem; }
      progress { width: 5rem; }
      #actions.ranking button.main { grid-column: span 12; }
      #actions.ranking button { grid-column: span 6; }
      header kbd, #actions kbd { display: none; }
      #actions button { padding: .2rem; }
      #prompt { max-height: 22dvh; }
      #answers { --columns: 1 !important; min-height: calc(var(--count, 1) * 9rem); grid-auto-rows: minmax(9rem, 1fr); }
      .text { padding: .5rem .7rem; }
    }
    /* Too low for parts that scroll by themselves: then the middle scrolls as one. */
    @media (max-height: 30rem) {
      #question { height: auto; }
      #prompt, #answers .text { max-height: 70dvh; }
      #answers .text { flex: none; }
    }

    """
}
