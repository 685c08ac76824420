//! One aggregate, looked at for what is wrong with it.

use crate::{
    sealing::{OpenError, Place, Sealed, Sealer},
    store::{Aggregate, CodecError, Document, decode},
};

/// What is wrong with an aggregate that can be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// What is kept beside the body and does not say what the body says.
    pub beside: Vec<&'static str>,
    /// Sealed fields that do not open, each with why.
    pub sealed: Vec<(String, OpenError)>,
}

impl Examined {
    /// Reads the document as an `A`.
    pub fn read<A: Aggregate>(document: &Document) -> Result<(A, Self), CodecError> {
        let value: A = decode(&document.body)?;
        let mut beside = Vec::new();
        if value.status() != document.status {
            beside.push("status");
        }
        if value.created_at().as_microsecond() != document.created_at.as_microsecond() {
            beside.push("time of creation");
        }
        Ok((value, Self { beside, sealed: Vec::new() }))
    }

    /// Opens what is sealed, and keeps nothing of it.
    pub fn open<'a, F: AsRef<str>>(
        &mut self,
        sealer: &Sealer,
        aggregate: &str,
        fields: impl IntoIterator<Item = (F, &'a mut Sealed)>,
    ) {
        for (field, sealed) in fields {
            if let Err(error) = sealer.open(Place { aggregate, field: field.as_ref() }, sealed) {
                self.sealed.push((field.as_ref().to_owned(), error));
            }
        }
    }
}
