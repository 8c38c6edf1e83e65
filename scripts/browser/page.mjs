// Opens pages in headless Chromium and looks for what would trouble a reader: see scripts/verify/report-in-browser.
//
//   node page.mjs CHROMIUM SCREENSHOTS NAME=FILE…     FILE is a report.html; the first gets every check, that of its first
//                                                     screen too
//
// Prints "ok    TEXT" or "FAIL  TEXT" a claim, like the scripts of scripts/verify.
import { chromium } from 'playwright-core';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [executablePath, screenshots, ...pages] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
// Screens: every width in both schemes for the first page, two of them for the others.
const EVERY = [360, 1280, 2560].flatMap((width) => ['light', 'dark'].map((colorScheme) => [width, colorScheme]));
const SOME = [[360, 'dark'], [1280, 'light']];
mkdirSync(screenshots, { recursive: true });

const claim = (text, problems) => {
  const seen = Array.isArray(problems) ? problems : problems ? [] : ['no'];
  console.log(`${seen.length ? 'FAIL' : 'ok   '}  ${text}${seen.length ? ': ' + [...new Set(seen)].slice(0, 5).join(' | ') : ''}`);
};

const browser = await chromium.launch({
  executablePath,
  timeout: 120_000, // a busy machine starts it slowly
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});

// What a page said and asked for while something was done with it.
async function opened(file, options, act) {
  const context = await browser.newContext({ reducedMotion: 'reduce', ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const url = pathToFileURL(file).href;
  const errors = [], requests = [];
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) errors.push(message.text()); });
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('request', (request) => { if (request.url().split('#')[0] !== url) requests.push(request.url().slice(0, 120)); });
  page.on('dialog', (dialog) => { errors.push('dialog: ' + dialog.message()); dialog.dismiss(); });
  try {
    await page.goto(url, { waitUntil: 'load' });
    return { ...(await act(page)), errors, requests };
  } finally {
    await context.close();
  }
}

// Pictures of a page for a person, in pieces that a headless browser can take: at most so many, from the top down. Each
// is what a screen of that height shows: a picture beyond the screen takes 20 times as long.
const PIECE = 4000;
async function pictured(page, name, pieces) {
  const { width, height } = await page.evaluate(() => ({ width: innerWidth, height: document.documentElement.scrollHeight }));
  await page.setViewportSize({ width, height: PIECE });
  for (let piece = 0; piece < pieces && piece * PIECE < height; piece++) {
    const top = Math.min(piece * PIECE, Math.max(0, height - PIECE)); // where the page ends, the last piece scrolls no further
    await page.evaluate((y) => scrollTo(0, y), top);
    await page.screenshot({ path: `${screenshots}/${name}${piece ? `-${piece + 1}` : ''}.png`, animations: 'disabled' });
  }
}

// Everything that must be in view on a screen of this width.
const layout = () => {
  const wide = document.documentElement.scrollWidth - innerWidth;
  const views = [...document.querySelectorAll('figure .view:not([hidden])')];
  const bad = views.filter((view) => {
    const svg = view.querySelector('svg'), box = svg && svg.getBoundingClientRect(), frame = view.closest('figure').getBoundingClientRect();
    return !svg || box.width < 200 || box.height < 80 || box.left < frame.left - 1 || box.right > frame.right + 1
      || getComputedStyle(svg).visibility !== 'visible';
  });
  const top = [...document.querySelectorAll('.brief figure, .brief > ul > li')];
  return {
    answers: top.length, screens: Math.max(...top.map((part) => part.getBoundingClientRect().bottom)) / innerHeight,
    wide, charts: views.length, tables: document.querySelectorAll('table').length,
    bad: bad.map((view) => view.closest('figure').id || 'a chart'),
    paper: getComputedStyle(document.body).backgroundColor,
  };
};

const violations = async (page) => {
  // As an argument of the driver, not as a script of the page: the page's policy allows its own script only.
  await page.evaluate(axe);
  // The inside of a picture is not read out, its name is; the contrast of its colours has a test of its own. Without its
  // thousands of parts the rules are done in seconds.
  return page.evaluate(async () => {
    for (const svg of document.querySelectorAll('svg')) svg.replaceChildren();
    return (await globalThis.axe.run(document, { resultTypes: ['violations'] })).violations;
  });
};

async function everywhere(name, file, screens, pieces, first = false) {
  const errors = [], requests = [], wide = [], bad = [], far = [], papers = new Set();
  let seen;
  for (const [width, colorScheme] of screens) {
    const at = `${width} px, ${colorScheme}`;
    const got = await opened(file, { viewport: { width, height: 900 }, colorScheme }, async (page) => {
      const found = await page.evaluate(layout);
      if (pieces) await pictured(page, `${name}-${width}-${colorScheme}`, colorScheme === 'light' ? pieces : 1);
      return found;
    });
    seen = got;
    errors.push(...got.errors);
    requests.push(...got.requests);
    papers.add(`${colorScheme} ${got.paper}`);
    if (got.wide > 0) wide.push(`${at}: ${got.wide} px beyond the screen`);
    if (first && (got.answers !== 6 || got.screens > (width < 1000 ? 2 : 1))) far.push(`${at}: ${got.answers} parts on ${got.screens.toFixed(2)} screens`);
    bad.push(...got.bad.map((id) => `${at}: ${id}`));
  }
  claim(`${name}: no error or warning on the console`, errors);
  claim(`${name}: no request leaves the page`, requests);
  claim(`${name}: ${seen.charts} charts and ${seen.tables} tables, every chart visible inside its frame: ${screens.map((screen) => screen.join(' ')).join(', ')}`, bad);
  claim(`${name}: nothing is wider than the screen`, wide);
  if (first) claim(`${name}: one picture and five sentences on the first screen of 900 px, on the first two at 360 px`, far);
  claim(`${name}: dark paper in the dark, light paper in the light`, papers.size === 2);
  return seen;
}

async function accessible(name, file, screens) {
  const grave = [], lesser = [];
  for (const [colorScheme, width, open] of screens) {
    const { found } = await opened(file, { viewport: { width, height: 900 }, colorScheme, bypassCSP: true }, async (page) => {
      await page.evaluate((all) => { for (const fold of document.querySelectorAll('details')) fold.open = all; }, open);
      return { found: await violations(page) };
    });
    for (const { id, impact, nodes } of found) {
      const text = `${id} (${impact}, ${nodes.length}): ${nodes[0].target.join(' ')}`;
      (['serious', 'critical'].includes(impact) ? grave : lesser).push(`${width} px, ${colorScheme}: ${text}`);
    }
  }
  claim(`${name}: axe-core finds nothing serious or critical: ${screens.map(([scheme, width, open]) => `${scheme}, ${width} px, folds ${open ? 'open' : 'closed'}`).join('; ')}`, grave);
  if (lesser.length) console.log(`      minor or moderate: ${lesser.join(' | ')}`);
}

async function withoutScripts(name, file, seen) {
  const got = await opened(file, { viewport: { width: 1280, height: 900 }, javaScriptEnabled: false }, async (page) => {
    const found = await page.evaluate(layout);
    const dead = await page.locator('.tools:visible').count();
    const titles = await page.locator('figure .view .p > title').count();
    await pictured(page, `${name}-no-scripts`, 1);
    return { ...found, dead, titles };
  });
  claim(`${name}: without scripts the same ${seen.charts} charts and ${seen.tables} tables, and no dead control`,
    got.charts === seen.charts && got.tables === seen.tables && got.bad.length === 0 && got.dead === 0);
  claim(`${name}: without scripts ${got.titles} points have their value as a title`, got.titles > 0);
}

async function interactive(name, file) {
  const got = await opened(file, { viewport: { width: 1280, height: 900 } }, async (page) => {
    const facts = {};
    const box = page.locator('.tools').first();
    const mode = await box.locator('input[type=checkbox]').last().getAttribute('value');
    const visible = () => page.evaluate((m) => [...document.querySelectorAll(`.view:not([hidden]) .s-${m}`)]
      .filter((part) => part.getClientRects().length).length, mode);
    const before = await visible();
    await box.locator('input[type=checkbox]').last().uncheck();
    const off = await visible();
    await box.locator('input[type=checkbox]').last().check();
    facts.toggled = before > 0 && off === 0 && (await visible()) === before;
    facts.mode = `${mode}, ${before} parts`;

    const linear = () => page.locator('.view[data-scale=linear]:visible').count();
    const none = await linear();
    await box.locator('select').selectOption('linear');
    facts.linear = await linear();
    facts.logarithmicGone = await page.evaluate(() => [...document.querySelectorAll('figure')]
      .every((figure) => figure.querySelectorAll('.view:not([hidden])').length === 1 || !figure.querySelector('.view')));
    const figure = page.locator('figure[id]').nth(1);
    await figure.scrollIntoViewIfNeeded();
    await page.screenshot({ path: `${screenshots}/${name}-linear.png`, clip: await figure.boundingBox() });
    await box.locator('select').selectOption('log');
    facts.scaled = none === 0 && facts.linear > 0 && (await linear()) === 0;

    const svg = page.locator('#chart-first-packet-tcp .view:not([hidden]) svg');
    await svg.scrollIntoViewIfNeeded();
    const mark = await svg.locator('.p').nth(3).boundingBox();
    await page.mouse.move(mark.x + mark.width / 2, mark.y + mark.height / 2);
    facts.hover = await page.locator('.tip').textContent();
    await page.mouse.move(2, 2);
    await svg.focus();
    await page.keyboard.press('ArrowRight');
    const first = await page.locator('.tip').textContent();
    await page.keyboard.press('ArrowRight');
    facts.keyed = await page.locator('.tip').textContent();
    facts.moved = first !== '' && facts.keyed !== '' && first !== facts.keyed;
    await page.keyboard.press('Escape');
    facts.closed = (await page.locator('.tip').textContent()) === '';

    return facts;
  });
  claim(`${name}: a mode is switched off and on in every chart (${got.mode})`, got.toggled);
  claim(`${name}: linear axes in ${got.linear} charts and back, one picture a chart`, got.scaled && got.logarithmicGone);
  claim(`${name}: pointing at a point reads it: "${got.hover}"`, /\d/.test(got.hover));
  claim(`${name}: the arrow keys read points, Escape ends: "${got.keyed}"`, got.moved && got.closed && /\d/.test(got.keyed));
  claim(`${name}: no console error while it is used`, got.errors);
  claim(`${name}: no request leaves the page while it is used`, got.requests);
}

async function tabbed(name, file) {
  const got = await opened(file, { viewport: { width: 1280, height: 900 } }, async (page) => {
    // From the top by Tab: the skip link first, then on through the page; nothing traps the focus.
    const order = [];
    for (let step = 0; step < 400; step++) {
      await page.keyboard.press('Tab');
      const on = await page.evaluate(() => {
        const element = document.activeElement;
        if (!element || element === document.body) return '';
        return `${element.tagName.toLowerCase()}.${element.className.baseVal ?? element.className}`;
      });
      if (!on) break;
      order.push(on);
    }
    return { steps: order.length, first: order[0], reached: ['a.', 'svg.bp', 'summary.', 'select.', 'input.', 'div.scroll'].filter((wanted) => !order.includes(wanted)) };
  });
  claim(`${name}: ${got.steps} stops of the Tab key, the skip link first, charts, folds, controls and wide tables among them`,
    got.first === 'a.skip' ? got.reached : [`first is ${got.first}`]);
}

async function printed(name, file) {
  const got = await opened(file, { viewport: { width: 1280, height: 900 }, colorScheme: 'dark' }, async (page) => {
    const pdf = await page.pdf({ format: 'A4', printBackground: true, path: `${screenshots}/${name}.pdf` });
    await page.emulateMedia({ media: 'print' });
    await page.setViewportSize({ width: 718, height: 1000 });
    const found = await page.evaluate(() => ({
      wide: document.documentElement.scrollWidth - innerWidth,
      ink: getComputedStyle(document.querySelector('h1')).color,
      dead: [...document.querySelectorAll('.tools, nav, .tip')].filter((e) => e.getClientRects().length).length,
    }));
    return { ...found, pages: (pdf.toString('latin1').match(/\/Type\s*\/Page\b/g) ?? []).length };
  });
  if (process.env.TIMES) console.error(got);
  claim(`${name}: prints on ${got.pages} pages of A4, dark ink from a dark screen, nothing cut off on the right, no controls`,
    got.pages > 0 && got.wide <= 0 && got.dead === 0 && got.ink === 'rgb(26, 27, 30)');
}

const began = performance.now();
const timed = (what) => { if (process.env.TIMES) console.error(`${Math.round(performance.now() - began)} ms ${what}`); };
try {
  for (const [index, text] of pages.entries()) {
    const at = text.indexOf('=');
    const [name, file] = [text.slice(0, at), text.slice(at + 1)];
    const seen = await everywhere(name, file, index === 0 ? EVERY : SOME, index === 0 ? (process.env.ALL ? 6 : 1) : name === 'hostile' && process.env.ALL ? 1 : 0, index === 0);
    timed(`${name} layout`);
    await accessible(name, file, index === 0 ? [['light', 1280, true], ['dark', 360, false]] : [['dark', 1280, false]]);
    timed(`${name} axe`);
    if (index === 0) {
      await withoutScripts(name, file, seen);
      timed(`${name} no scripts`);
      await interactive(name, file);
      await tabbed(name, file);
      timed(`${name} interactive`);
      await printed(name, file);
      timed(`${name} printed`);
    }
  }
} finally {
  await browser.close();
}
