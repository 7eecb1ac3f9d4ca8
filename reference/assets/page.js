// The page's own behaviour: tabs, copying, where the reader is, the playground.
import { openPlayground } from './playground.js';

// Tabs, by the pattern of WAI-ARIA. Choosing a language chooses it everywhere.
function choose(language, focused) {
  for (const list of document.querySelectorAll('[role=tablist]')) {
    const tabs = [...list.querySelectorAll('[role=tab]')];
    const chosen = tabs.find((t) => t.dataset.language === language);
    if (!chosen) continue;
    for (const tab of tabs) {
      tab.setAttribute('aria-selected', String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
      document.getElementById(tab.getAttribute('aria-controls')).hidden = tab !== chosen;
    }
  }
  focused?.focus();
}

for (const list of document.querySelectorAll('[role=tablist]')) {
  const tabs = [...list.querySelectorAll('[role=tab]')];
  list.addEventListener('click', (e) => {
    const tab = e.target.closest('[role=tab]');
    if (!tab) return;
    const before = tab.getBoundingClientRect().top;
    choose(tab.dataset.language, tab);
    scrollBy({ top: tab.getBoundingClientRect().top - before, behavior: 'instant' }); // other panels changed their height
  });
  list.addEventListener('keydown', (e) => {
    const at = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[e.key];
    if (at < 0 || to === undefined) return;
    e.preventDefault();
    const tab = tabs[(to + tabs.length) % tabs.length];
    choose(tab.dataset.language, tab);
  });
}

for (const box of document.querySelectorAll('.op .code')) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'copy';
  button.textContent = 'Copy';
  button.addEventListener('click', async () => {
    const shown = [...box.querySelectorAll('pre')].find((p) => p.offsetParent !== null);
    try {
      await navigator.clipboard.writeText(shown.textContent);
      button.textContent = 'Copied';
    } catch {
      getSelection().selectAllChildren(shown);
      button.textContent = 'Selected';
    }
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  });
  box.append(button);
}

// Where the reader is, in the list at the side.
const links = new Map([...document.querySelectorAll('.toc a')].map((a) => [a.hash.slice(1), a]));
if (links.size > 0) {
  const seen = new Set();
  const watch = new IntersectionObserver((entries) => {
    for (const e of entries) seen[e.isIntersecting ? 'add' : 'delete'](e.target.id);
    const here = [...links.keys()].find((id) => seen.has(id));
    for (const [id, a] of links) {
      if (id === here) a.setAttribute('aria-current', 'true');
      else a.removeAttribute('aria-current');
    }
  }, { rootMargin: '-15% 0px -70% 0px' });
  for (const id of links.keys()) watch.observe(document.getElementById(id));
}

const playground = document.getElementById('playground');
if (playground) openPlayground(document.getElementById('stage'), playground.dataset.flow);
