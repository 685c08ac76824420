//! The fields of a span, as the log keeps them: one JSON object, to which later fields are added as text.
//!
//! Promises the same lines as the library's own [`JsonFields`], which reads the whole object and writes it anew each
//! time that some are added: 3 % of a send's processor time.

use std::{fmt, mem};

use tracing::span::Record;
use tracing_subscriber::{
    field::RecordFields,
    fmt::{
        FormatFields, FormattedFields,
        format::{JsonFields, Writer},
    },
};

/// A field that is recorded again stands in the object twice, and the last one counts. From so many bytes on the
/// library writes it anew, without the ones that count no more.
const LONG: usize = 1_024;

/// See the module.
#[derive(Default)]
pub(super) struct Fields(JsonFields);

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        self.0.format_fields(writer, fields)
    }

    fn add_fields(&self, current: &'writer mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        let mut kept = FormattedFields::<JsonFields>::new(mem::take(&mut current.fields));
        let done = self.add(&mut kept, fields);
        current.fields = kept.fields;
        done
    }
}

impl Fields {
    fn add(&self, kept: &mut FormattedFields<JsonFields>, fields: &Record<'_>) -> fmt::Result {
        if kept.fields.len() > LONG {
            return self.0.add_fields(kept, fields);
        }
        let mut added = FormattedFields::<JsonFields>::new(String::new());
        self.0.format_fields(added.as_writer(), fields)?;
        let is_empty = |object: &str| object.is_empty() || object == "{}";
        match (is_empty(&kept.fields), is_empty(&added.fields)) {
            (_, true) => {}
            (true, false) => kept.fields = added.fields,
            (false, false) => {
                kept.fields.pop();
                kept.fields.push(',');
                kept.fields.push_str(&added.fields[1..]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use proptest::prelude::*;
    use serde_json::Value;
    use tracing::field::Empty;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, part: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(part);
            Ok(part.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The span of the line that is written after all this was recorded, in this order.
    fn line<F>(fields: F, begins_with: Option<&str>, records: &[(usize, String)]) -> Value
    where
        F: for<'writer> FormatFields<'writer> + Send + Sync + 'static,
    {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt().json().with_span_list(false).fmt_fields(fields);
        tracing::subscriber::with_default(lines.with_writer(move || writer.clone()).finish(), || {
            let span = tracing::error_span!("span", first = begins_with, second = Empty, third = Empty);
            for (field, text) in records {
                span.record(["first", "second", "third"][*field], text.as_str());
            }
            span.in_scope(|| tracing::error!("line"));
        });
        let kept = kept.0.lock().expect("no panic");
        serde_json::from_slice::<Value>(&kept).expect("one line of JSON")["span"].clone()
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_library(
            first in proptest::option::of(".{0,20}"),
            records in proptest::collection::vec((0_usize..3, ".{0,20}|x{900}"), 0..8),
        ) {
            let ours = line(Fields::default(), first.as_deref(), &records);
            prop_assert_eq!(ours, line(JsonFields::new(), first.as_deref(), &records));
        }
    }
}
