use std::panic::PanicHookInfo;

/// The exit code of a fault of our own.
const FAULT: i32 = 70;

/// From now on a panic ends the process with 70 and says where it was. It does not say with what:
/// a text made while running may hold a value. Only what stands in the source itself is shown.
/// `last_words` gets the line too (the termination message); it must not panic.
#[allow(clippy::disallowed_methods, reason = "after a fault nothing can be trusted to end by itself")]
pub fn hook_panics(last_words: impl Fn(&str) + Send + Sync + 'static) {
    std::panic::set_hook(Box::new(move |info| {
        let line = describe(info);
        // Past the lock of standard error, which the panic may have come under. Nothing can be done
        // where nobody listens.
        let _ = rustix::io::write(std::io::stderr(), format!("leasehold: {line}\n").as_bytes());
        last_words(&line);
        std::process::exit(FAULT);
    }));
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    // A `&'static str` is a literal of the source; a `String` was put together.
    let why = info.payload().downcast_ref::<&'static str>().copied().unwrap_or("the reason may hold a value");
    format!(
        "a fault of our own at {place} ({why}); what is held stays in the hand-over: please report the place"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::child;

    #[test]
    fn a_panic_names_its_place_and_no_value_and_ends_with_70() {
        let output = child::run("process::panic::tests::child_that_panics", &[("VALUE", "canary")]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(70), "{said}");
        assert!(said.contains("src/process/panic.rs:"), "{said}");
        assert!(!said.contains("canary"), "{said}");
        assert_eq!(said.matches("a fault of our own").count(), 2, "last words too: {said}");
    }

    #[test]
    #[ignore = "the child of the test above it"]
    fn child_that_panics() {
        hook_panics(|line| {
            eprintln!("last words: {line}");
        });
        panic!("{}", std::env::var("VALUE").unwrap());
    }
}
