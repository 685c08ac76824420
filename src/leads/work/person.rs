//! Asking Attio who the person is whom a list entry named.
//!
//! Promises that name and number are judged by the rules of a press, that they are sealed before they are kept, and
//! that a record which was merged or changed while Attio was asked is read anew.

use secrecy::ExposeSecret as _;
use serde_json::Map;

use super::{attio::TOKEN_UNOPENED, leased::Work, triage::triage};
use crate::{
    attio::people::{Number, Person},
    ids::{RecordId, SendId},
    leads::{
        lead::{
            outcome::Reason,
            person::{Name, PhoneNumber},
            send::SealedPerson,
        },
        places::{logical_key, place},
        service::Leads,
    },
    store::{StoreError, gate::GateReport},
    upstream::CallError,
};

impl Leads {
    /// Reads the person from Attio, and goes on as a press would.
    pub(super) async fn read_entered(&self, work: &mut Work) -> Result<(), StoreError> {
        let now = self.parts.clock.now();
        if let Some(until) = work.attio.view.closed_until.filter(|until| *until > now) {
            work.attio.opens_at = work.attio.opens_at.max(Some(until));
            return Ok(());
        }
        let lead = &work.lead.value;
        let (send, changes, record) = (lead.send.outcome.id, lead.changes(), lead.shown_at());
        let Some(token) = self.attio_token(work) else {
            let (again, detail) = (self.slowly(), Some(TOKEN_UNOPENED.to_owned()));
            return self.record(work, |lead, now| lead.person_not_read(send, again, detail.clone(), now)).await;
        };
        if !self.ensure_time(work).await? {
            return Ok(());
        }
        let error = match self.parts.attio.find_person(&token, record).await {
            Ok(person) => {
                self.take_person(work, (send, changes, record), &person).await?;
                self.report_on_attio(work, GateReport::Recovered).await;
                return Ok(());
            }
            Err(error) => error,
        };
        let failures = work.lead.value.send.to_read.as_ref().map_or(0, |to_read| to_read.failures);
        let triage = triage(&error);
        let again = match &error {
            CallError::NotFound => {
                return self
                    .record(work, |lead, now| {
                        if lead.shown_at() == record {
                            lead.person_gone(send, now);
                        }
                    })
                    .await;
            }
            CallError::Unauthorized => {
                self.after_attios_401(work, &token, failures).await?.unwrap_or_else(|| self.slowly())
            }
            // A person has to act: a scope is missing, say.
            CallError::Forbidden { .. }
            | CallError::Rejected { .. }
            | CallError::Conflict { .. }
            | CallError::Unsupported => self.slowly(),
            CallError::RateLimited { .. }
            | CallError::NotSent { .. }
            | CallError::Unreadable { .. }
            | CallError::Unknown { .. } => triage.again(self, failures),
        };
        let detail = Some(format!("Attio, asked for name and number: {error}"));
        self.record(work, |lead, now| lead.person_not_read(send, again, detail.clone(), now)).await?;
        // The limit is that of reads: no write has to wait for it.
        if !matches!(triage.report, GateReport::Limited { .. }) {
            self.report_on_attio(work, triage.report).await;
        }
        Ok(())
    }

    async fn take_person(
        &self,
        work: &mut Work,
        (send, changes, record): (SendId, u32, RecordId),
        person: &Person,
    ) -> Result<(), StoreError> {
        let number = first_valid(&person.numbers, self.default_region());
        let found = match (number, name_of(person)) {
            (None, _) => Err(Reason::NoPhoneNumber),
            (_, None) => Err(Reason::NoName),
            (Some(number), Some(name)) => {
                let logical = logical_key(&work.tenant, work.lead.value.record_id);
                let seal = |field, value| self.parts.sealer.seal(place(&logical, field), value);
                let (name, phone_number) = (seal("name", name.as_secret()), seal("phone_number", number.as_secret()));
                Ok(SealedPerson { name, phone_number, extra: Map::new() })
            }
        };
        self.record(work, |lead, now| match &found {
            // A merge was told of meanwhile: the record made of two may have another number.
            _ if lead.shown_at() != record => {}
            Ok(person) => lead.person_read((send, changes), person.clone(), now),
            Err(lacks) => lead.person_lacks((send, changes), *lacks, now),
        })
        .await
    }
}

/// The first number that a press could name.
fn first_valid(numbers: &[Number], default_region: Option<&str>) -> Option<PhoneNumber> {
    numbers.iter().find_map(|number| {
        let as_attio_has_it = number.phone_number.as_ref().map(|text| (text, default_region));
        // As it was typed: Attio may not have made an international one of it.
        let as_typed = number.original.as_ref().map(|text| (text, number.country.as_deref().or(default_region)));
        let written = as_attio_has_it.into_iter().chain(as_typed);
        written.into_iter().find_map(|(text, region)| PhoneNumber::parse(text.expose_secret(), region).ok())
    })
}

/// The name, made one that a press could name: here is no caller to be told that it is too long.
fn name_of(person: &Person) -> Option<Name> {
    person.names.iter().find_map(|name| Name::of_record(name.expose_secret()))
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    fn number(phone_number: &str, original: &str, country: &str) -> Number {
        let text = |text: &str| (!text.is_empty()).then(|| SecretString::from(text));
        Number {
            phone_number: text(phone_number),
            original: text(original),
            country: (!country.is_empty()).then(|| country.to_owned()),
        }
    }

    #[test]
    fn the_first_number_that_a_press_could_name_is_taken() {
        for (numbers, region, expected) in [
            (vec![number("+14155552671", "", "US")], None, Some("+14155552671")),
            (vec![number("+1", "", "US"), number("+442079460958", "", "GB")], None, Some("+442079460958")),
            (vec![number("+1", "(415) 555-2671", "US")], None, Some("+14155552671")),
            (vec![number("", "020 7946 0958", "GB")], Some("US"), Some("+442079460958")),
            (vec![number("", "415 555 2671", "")], Some("US"), Some("+14155552671")),
            (vec![number("", "415 555 2671", "")], None, None),
            (vec![number("+1", "5", "US"), number("", "", "")], None, None),
            (vec![], Some("US"), None),
        ] {
            let found = first_valid(&numbers, region);
            let found = found.as_ref().map(|found| found.as_secret().expose_secret());
            assert_eq!(found, expected, "{numbers:?} {region:?}");
        }
    }

    #[test]
    fn the_first_name_that_says_anything_is_taken_and_made_to_fit() {
        let long = "é".repeat(300);
        let fits = "é".repeat(200);
        for (names, expected) in [
            (vec!["Ada Lovelace"], Some("Ada Lovelace")),
            (vec!["  ", "Ada"], Some("Ada")),
            (vec!["Ada\r\nLovelace\t"], Some("Ada Lovelace")),
            (vec![long.as_str()], Some(fits.as_str())),
            (vec!["\u{0}"], None),
            (vec![], None),
        ] {
            let names = names.into_iter().map(SecretString::from).collect();
            let name = name_of(&Person { names, numbers: Vec::new() });
            assert_eq!(name.as_ref().map(|name| name.as_secret().expose_secret()), expected);
        }
    }
}
