//! The page in a browser, at the width of a desk and of a phone, light and dark: it is silent, asks for nothing, fits, and
//! no label of a chart lies on another.
//!
//! With `ECHOLAB_SCREENSHOTS=FOLDER` what was seen is kept there, to be looked at.

use std::path::Path;

use base64::Engine;

use super::browser::{Browser, Look};
use super::{render, samples};

/// What is wrong with the page as it is laid out. Boxes of texts are as high as their font's tallest letters, which no label
/// of a chart has all of: a fifth at either end does not count.
const FAULTS: &str = r#"(() => {
  const faults = [];
  document.querySelectorAll('details').forEach(details => { details.open = true; });
  const page = document.documentElement;
  if (page.scrollWidth > WIDTH) {
    const wide = [...document.querySelectorAll('body *')]
      .filter(element => !element.closest('.scroll') && element.getBoundingClientRect().right > WIDTH + 1);
    faults.push(`${page.scrollWidth} px wide: ${wide.slice(0, 3).map(element => element.outerHTML.slice(0, 80))}`);
  }
  for (const svg of document.querySelectorAll('svg.chart')) {
    const frame = svg.getBoundingClientRect();
    if (frame.width < 100 || frame.height < 20) faults.push(`a chart of ${frame.width} × ${frame.height} px`);
    const texts = [...svg.querySelectorAll('text')].map(text => {
      const box = text.getBoundingClientRect();
      const edge = box.height / 5;
      return { words: text.textContent, left: box.left, right: box.right, top: box.top + edge, bottom: box.bottom - edge };
    });
    texts.forEach((a, index) => {
      if (a.left < frame.left - 1 || a.right > frame.right + 1 || a.bottom > frame.bottom + 1)
        faults.push(`cut off: ${a.words}`);
      for (const b of texts.slice(index + 1))
        if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
          faults.push(`${a.words} on ${b.words}`);
    });
  }
  return faults;
})()"#;

const LOOKS: [Look; 4] = [
    Look {
        width: 1440,
        dark: false,
    },
    Look {
        width: 1440,
        dark: true,
    },
    Look {
        width: 390,
        dark: false,
    },
    Look {
        width: 390,
        dark: true,
    },
];

/// What a reader would see go wrong.
fn faults(browser: &mut Browser, file: &Path, look: Look) -> Vec<String> {
    let mut faults = browser.open(file, look);
    let found = browser.evaluate(&FAULTS.replace("WIDTH", &look.width.to_string()));
    let found = found.as_array().unwrap().iter();
    faults.extend(found.map(|fault| fault.as_str().unwrap().to_owned()));
    faults
}

fn keep_picture(browser: &mut Browser, name: &str, look: Look) {
    if let Some(folder) = std::env::var_os("ECHOLAB_SCREENSHOTS") {
        let scheme = if look.dark { "dark" } else { "light" };
        let picture = base64::engine::general_purpose::STANDARD.decode(browser.picture());
        let file = Path::new(&folder).join(format!("{name}-{}-{scheme}.png", look.width));
        std::fs::write(file, picture.unwrap()).unwrap();
    }
}

#[test]
fn the_page_is_silent_and_fits_light_and_dark_at_a_desk_and_on_a_phone() {
    let Some(mut browser) = Browser::start() else {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI needs a browser: install chromium"
        );
        eprintln!("skipped: there is no chromium here");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for (name, result) in samples::all() {
        let file = folder.path().join(format!("{name}.html"));
        std::fs::write(&file, render(&result)).unwrap();
        for look in LOOKS {
            let faults = faults(&mut browser, &file, look);
            keep_picture(&mut browser, name, look);
            assert!(faults.is_empty(), "{name}, {look:?}: {faults:#?}");
            let colour = browser.evaluate("getComputedStyle(document.body).backgroundColor");
            let wanted = if look.dark {
                "rgb(18, 22, 26)"
            } else {
                "rgb(255, 255, 255)"
            };
            assert_eq!(colour, wanted, "{name}, {look:?}");
        }
    }
    finds_what_is_wrong(&mut browser, folder.path());
}

/// Each fault by itself is found: otherwise the test above would say nothing.
fn finds_what_is_wrong(browser: &mut Browser, folder: &Path) {
    let chart = |texts: &str| format!(r#"<svg class="chart" width="300" height="100">{texts}</svg>"#);
    let pages = [
        ("<p>Nothing.</p>".to_owned(), None),
        ("<script>console.log('hello')</script>".to_owned(), Some("hello")),
        (
            "<script>undefined_function()</script>".to_owned(),
            Some("undefined_function"),
        ),
        (
            "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'\"><p style='color:red'>"
                .to_owned(),
            Some("Content Security Policy"),
        ),
        ("<img src='missing.png'>".to_owned(), Some("missing.png")),
        ("<div style='width:2000px'>wide</div>".to_owned(), Some("px wide")),
        (
            chart("<text x='10' y='50'>one</text><text x='15' y='52'>other</text>"),
            Some("one on other"),
        ),
        (
            chart("<text x='290' y='50'>beyond</text>"),
            Some("cut off: beyond"),
        ),
        (
            chart("<text x='10' y='20'>one</text><text x='10' y='50'>other</text>"),
            None,
        ),
    ];
    for (page, fault) in pages {
        let file = folder.join("wrong.html");
        let head = "<!DOCTYPE html><meta charset='utf-8'><link rel='icon' href='data:,'>";
        std::fs::write(
            &file,
            format!("{head}<meta name='viewport' content='width=device-width'>{page}"),
        )
        .unwrap();
        for look in [LOOKS[0], LOOKS[2]] {
            let found = faults(browser, &file, look);
            match fault {
                None => assert!(found.is_empty(), "{page}: {found:#?}"),
                Some(fault) => assert!(
                    found.iter().any(|found| found.contains(fault)),
                    "{page}: {found:#?}"
                ),
            }
        }
    }
}
