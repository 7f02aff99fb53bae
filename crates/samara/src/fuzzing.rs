//! Properties that the fuzz targets check, for any input. Not a stable API.

use core::{fmt::Display, str::FromStr};
use std::{path::Path, sync::Arc};

use samara_base::{BlobId, PeerId};
use samara_store::{ChunkerParams, Options, Store, disk::MemDisk};

use crate::{
    identity::Identity,
    ticket::{self, Ticket},
};

/// Reads the input as a ticket's text, and as the fields of a ticket behind a checksum that agrees.
/// What is read comes back from its own text, which is the only one but for unknown fields.
///
/// # Panics
///
/// If a property does not hold.
pub fn ticket(data: &[u8]) {
    let forged = ticket::forge(data);
    check(&forged);
    if let Ok(ticket) = forged.parse::<Ticket>() {
        let canonical = ticket.to_string();
        assert!(canonical.len() < forged.len() || canonical == forged, "one text for a ticket");
    }
    if let Ok(text) = core::str::from_utf8(data) {
        check(text);
    }
}

fn check(text: &str) {
    match text.parse::<Ticket>() {
        Ok(ticket) => {
            let canonical = ticket.to_string();
            assert_eq!(canonical.parse(), Ok(ticket), "the canonical text is the ticket");
            let letters = text.chars().filter(char::is_ascii_alphanumeric).count();
            assert!(canonical.len() <= letters, "only unknown fields are dropped");
        }
        Err(error) => assert!(!error.to_string().is_empty(), "every error says something"),
    }
}

/// Reads the input as what configures a node: the file with its identity, the texts of ids, and the
/// options of its store.
///
/// # Panics
///
/// If a property does not hold.
pub fn config(data: &[u8]) {
    match Identity::decode(data) {
        Some(identity) => assert_eq!(identity.secret(), data),
        None => assert_ne!(data.len(), 32),
    }
    if let Ok(text) = core::str::from_utf8(data) {
        id::<BlobId>(text);
        id::<PeerId>(text);
    }
    options(data);
}

fn id<T: FromStr + Display>(text: &str) {
    if let Ok(id) = text.parse::<T>() {
        let again = id.to_string();
        assert!(again.parse::<T>().is_ok_and(|id| id.to_string() == again), "the text is the id");
    }
}

/// Whatever the numbers, a store keeps what was put into it.
fn options(data: &[u8]) {
    let mut numbers = data.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
    let mut number = || numbers.next().unwrap_or_default();
    let options = Options {
        segment_bytes: number(),
        // Memory that the caller asks for is not ours to bound.
        cache_bytes: usize::try_from(number() % (1 << 20)).unwrap_or_default(),
        checkpoint_bytes: number(),
        checkpoint_rows: usize::try_from(number()).unwrap_or(usize::MAX),
        reserve_bytes: number() % (1 << 30),
        chunking: ChunkerParams::from_code(u8::try_from(14 + number() % 5).unwrap_or_default()),
        compression: None,
        quotas: Default::default(),
    };
    let disk = MemDisk::new();
    let mut ids = Vec::new();
    for turn in 0..2 {
        let store = Store::open_on(Arc::new(disk.clone()), Path::new("/store"), options);
        let store = store.expect("options alone never keep a store from opening");
        for (id, data) in &ids {
            let reader = store.reader(id).expect("held").expect("held");
            assert_eq!(reader.read(0..reader.size()).expect("held"), *data);
        }
        for part in data.chunks(1_024) {
            let part = [&[turn], part].concat();
            ids.push((store.put(&part).expect("a disk with room"), part));
        }
        store.checkpoint().expect("a disk with room");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_hold_the_properties() {
        let example = "samara1iblaaifpcne3t5pzugtkaqcn5i3nzskjtpfslsnnyejlpte2spfoihzsmiaqcaacaeaagalba\
                       uusqirceirceirceirceirceirceirceirceirceirceirceirceircaedmaaacaeivdbbgdsia";
        for seed in [example, &example[1..], &example[..90], "samara2", "", "\u{feff}samara1aa"] {
            super::ticket(seed.as_bytes());
        }
        super::ticket(&[0xff]);
        for seed in [&b""[..], &[0; 32], &[0xff; 40], &[1; 4_000], &[b'a'; 64], &[b'0'; 52]] {
            super::config(seed);
        }
        let fields = [&[0, 32][..], &[1; 32], &[2, 1, 0, 3, 1, b'n', 7, 0]].concat();
        super::ticket(&fields);
    }
}
