//! The fields of a span, as the log keeps them: one JSON object, to which later fields are added as text.
//!
//! Promises the same lines as the library's own [`JsonFields`], which makes a map of the fields' values before it
//! writes them, and reads and writes the whole object anew each time that some are added. It also takes `r#` off names,
//! and leaves out those that begin with `log.`: no span has such a field.

use std::{fmt, io, mem};

use serde::{Serialize, Serializer as _};
use tracing::{
    field::{Field, Visit},
    span::Record,
};
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
        let mut object = Object::begin(writer)?;
        fields.record(&mut object);
        object.end()
    }

    fn add_fields(&self, current: &'writer mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        if current.fields.len() > LONG {
            let mut kept = FormattedFields::<JsonFields>::new(mem::take(&mut current.fields));
            let done = self.0.add_fields(&mut kept, fields);
            current.fields = kept.fields;
            return done;
        }
        let length = current.fields.len();
        let done = Object::reopen(current).and_then(|mut object| {
            fields.record(&mut object);
            object.end()
        });
        if done.is_err() {
            // As it was: the lines of this span stay JSON.
            current.fields.truncate(length.saturating_sub(1));
            current.fields.push_str(if length == 0 { "" } else { "}" });
        }
        done
    }
}

/// An object that is being written, member by member.
struct Object<'writer> {
    writer: Writer<'writer>,
    is_empty: bool,
    so_far: fmt::Result,
}

impl<'writer> Object<'writer> {
    fn begin(mut writer: Writer<'writer>) -> Result<Self, fmt::Error> {
        writer.write_char('{')?;
        Ok(Self { writer, is_empty: true, so_far: Ok(()) })
    }

    /// The object that `kept` holds, to be added to.
    fn reopen(kept: &'writer mut FormattedFields<Fields>) -> Result<Self, fmt::Error> {
        if kept.fields.pop().is_none() {
            return Self::begin(kept.as_writer());
        }
        let is_empty = kept.fields == "{";
        Ok(Self { writer: kept.as_writer(), is_empty, so_far: Ok(()) })
    }

    fn end(mut self) -> fmt::Result {
        self.so_far?;
        self.writer.write_char('}')
    }

    fn member(&mut self, field: &Field, value: impl Serialize) {
        if self.so_far.is_ok() {
            self.so_far = self.write(field.name(), value);
        }
    }

    fn write(&mut self, name: &str, value: impl Serialize) -> fmt::Result {
        if !mem::take(&mut self.is_empty) {
            self.writer.write_char(',')?;
        }
        let mut serializer = serde_json::Serializer::new(Adapter(&mut self.writer));
        serializer.serialize_str(name).map_err(|_| fmt::Error)?;
        self.writer.write_char(':')?;
        value.serialize(&mut serde_json::Serializer::new(Adapter(&mut self.writer))).map_err(|_| fmt::Error)
    }
}

impl Visit for Object<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.member(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field, value);
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        self.member(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.member(field, Shown(value));
    }
}

/// What a value's `Debug` writes, as a string.
struct Shown<'a>(&'a dyn fmt::Debug);

impl Serialize for Shown<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:?}", self.0))
    }
}

/// What a serializer of JSON, which writes bytes, writes into the text: it never parts a character.
struct Adapter<'a, 'writer>(&'a mut Writer<'writer>);

impl io::Write for Adapter<'_, '_> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(part).map_err(io::Error::other)?;
        self.0.write_str(text).map_err(io::Error::other)?;
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
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
            for (number, (field, text)) in records.iter().enumerate() {
                let field = ["first", "second", "third"][*field];
                match number % 4 {
                    0 => span.record(field, text.as_str()),
                    1 => span.record(field, tracing::field::debug(text)),
                    2 => span.record(field, [f64::NAN, text.len() as f64 / 3.0][text.len() % 2]),
                    _ => span.record(field, text.len() as i64 - 9),
                };
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
