//! Properties that the fuzz targets check, for any input. Not a stable API.

use crate::ticket::{self, Ticket};

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
        let fields = [&[0, 32][..], &[1; 32], &[2, 1, 0, 3, 1, b'n', 7, 0]].concat();
        super::ticket(&fields);
    }
}
