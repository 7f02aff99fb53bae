//! Figures out of what commands print.

/// `120 crash points`.
pub(super) fn crash_points(output: &str) -> Option<String> {
    line(output, |line| line.ends_with(" crash points")).map(|line| line.trim().to_owned())
}

/// `powercut ext4: 300 cuts, 1234 acknowledgements with 5678 changes, 0 lost`, once per file system.
pub(super) fn power_cuts(output: &str) -> Option<String> {
    let of_one = |line: &str| {
        let (kind, rest) = line.strip_prefix("powercut ")?.split_once(": ")?;
        let (cuts, rest) = rest.split_once(" cuts, ")?;
        let (acks, rest) = rest.split_once(" acknowledgements ")?;
        rest.ends_with(", 0 lost").then_some(())?;
        Some((format!("{kind} {cuts}"), acks.parse::<u64>().ok()?))
    };
    let all: Vec<_> = output.lines().filter_map(of_one).collect();
    let acks: u64 = all.iter().map(|(_, acks)| acks).sum();
    let kinds: Vec<_> = all.into_iter().map(|(kind, _)| kind).collect();
    (acks > 0).then(|| format!("{}; {acks} acknowledgements, 0 lost", kinds.join(", ")))
}

/// `kill: 100 rounds, 100 kills, 1234 acknowledgements with 5678 changes, 0 lost`.
pub(super) fn kills(output: &str) -> Option<String> {
    let kill = line(output, |line| line.starts_with("kill: ") && line.ends_with(", 0 lost"))?;
    Some(kill.trim_start_matches("kill: ").to_owned())
}

/// `431 bits flipped, …`.
pub(super) fn bit_rot(output: &str) -> Option<String> {
    line(output, |line| line.contains(" bits flipped, ")).map(|line| line.trim().to_owned())
}

/// Lines such as `wire_varint  1529295 inputs  76464/s  236 MiB`, and `fuzz: 18 targets clean, 600 s each`.
pub(super) fn fuzzing(output: &str) -> Option<String> {
    let all = line(output, |line| line.starts_with("fuzz: ") && line.contains(" targets clean, "))?;
    let mut inputs = 0;
    for line in output.lines().filter(|line| line.ends_with(" MiB") && line.contains(" inputs ")) {
        inputs += line.split_whitespace().nth(1)?.parse::<u64>().ok()?;
    }
    let clean = all.trim_start_matches("fuzz: ");
    (inputs > 0).then(|| format!("{clean}; {:.1} million inputs", inputs as f64 / 1e6))
}

/// The fourth and fifth word of each row of `cargo xtask fuzz cover`.
pub(super) fn regions(output: &str) -> Option<String> {
    crates(output, |words| Some(format!("{} %", words.get(5)?)))
}

/// The third word of each row of `cargo xtask coverage`.
pub(super) fn lines(output: &str) -> Option<String> {
    crates(output, |words| Some(format!("{} %", words.get(2)?)))
}

/// Tried, caught and the ratio of each row of `cargo xtask mutants`.
pub(super) fn mutants(output: &str) -> Option<String> {
    crates(output, |words| {
        let percent = words.iter().position(|word| *word == "%")?;
        let ratio = words.get(percent.checked_sub(1)?)?;
        Some(format!("{ratio} % ({} tried, {} caught)", words.get(1)?, words.get(2)?))
    })
}

/// The totals at the end of `cargo xtask rfc report`.
pub(super) fn requirements(output: &str) -> Option<String> {
    let total = |level: &str| {
        let row = line(output, |line| line.starts_with(&format!("| {level} | ")))?;
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        Some(format!("{level}: {} implemented, {} tested", cells.get(2)?, cells.get(3)?))
    };
    // The level's rows come first in the matrix too, by id; the totals are the last.
    Some(format!("{}; {}", total("MUST")?, total("SHOULD")?))
}

/// `1613 passed, 0 failed`, once per subject.
pub(super) fn vectors(output: &str) -> Option<String> {
    let count = |line: &str| line.strip_suffix(" passed, 0 failed")?.parse::<u64>().ok();
    let counts: Vec<u64> = output.lines().filter_map(count).collect();
    let least = counts.iter().min()?;
    Some(format!("{least} vectors, answered by {} implementations", counts.len()))
}

/// `varint: 10000 agreed, 0 did not`, for each kind.
pub(super) fn cross(output: &str) -> Option<String> {
    let rows: Vec<&str> = output.lines().filter(|line| line.contains(" agreed, ")).collect();
    let agreed = |row: &&str| row.split(" agreed, ").next().and_then(last_number);
    let least = rows.iter().filter_map(agreed).min()?;
    Some(format!("{} kinds, {least} or more each, all agree", rows.len()))
}

/// `wire_varint: at most 8 of 4352 bytes, for an input of 8`.
pub(super) fn memory(output: &str) -> Option<String> {
    let share = |line: &str| {
        let (target, rest) = line.split_once(": at most ")?;
        let mut words = rest.split_whitespace();
        let (took, bound) =
            (words.next()?.parse::<f64>().ok()?, words.nth(1)?.parse::<f64>().ok()?);
        Some((100.0 * took / bound, target.to_owned()))
    };
    let shares: Vec<(f64, String)> = output.lines().filter_map(share).collect();
    let (most, target) = shares.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(format!("{most:.0} % ({target}), {} targets", shares.len()))
}

/// `faults: 968320 states, 3181876 steps`, for each world.
pub(super) fn states(output: &str) -> Option<String> {
    let rows = output.lines().filter_map(|line| line.split_once(" states, "));
    let numbers: Vec<u64> = rows.filter_map(|(start, _)| last_number(start)).collect();
    let total: u64 = numbers.iter().sum();
    (total > 0).then(|| format!("{total} states in {} worlds", numbers.len()))
}

/// `37 of 37 planted bugs were caught`.
pub(super) fn plants(output: &str) -> Option<String> {
    let all = line(output, |line| line.ends_with(" planted bugs were caught"))?;
    Some(all.trim_end_matches(" planted bugs were caught").to_owned())
}

/// The slowest of criterion's `decoders/NAME`.
pub(super) fn decoders(output: &str) -> Option<String> {
    let all: Vec<(&str, f64, &str)> =
        throughputs(output).filter(|(name, ..)| name.starts_with("decoders/")).collect();
    let per_second = |(_, figure, unit): &(&str, f64, &str)| match *unit {
        "Melem/s]" => figure * 1e6,
        "Kelem/s]" => figure * 1e3,
        _ => *figure,
    };
    let slowest = all.iter().min_by(|a, b| per_second(a).total_cmp(&per_second(b)))?;
    let name = slowest.0.trim_start_matches("decoders/");
    Some(format!("{:.0} ({name}), {} decoders", per_second(slowest), all.len()))
}

/// Criterion's varints and frames.
pub(super) fn wire(output: &str) -> Option<String> {
    let figure = |ending: &str| throughputs(output).find(|(name, ..)| name.ends_with(ending));
    let (_, varints, _) = figure("varint/decode/small").filter(|(.., unit)| *unit == "Melem/s]")?;
    let frames = |ending: &str| {
        let (_, speed, unit) = figure(ending)?;
        Some(format!("{speed} {}", unit.trim_end_matches(']')))
    };
    let (plain, crc) = (frames("decode/64KiB/plain")?, frames("decode/64KiB/crc")?);
    Some(format!("{:.1} ns; frames {plain}, with CRC-32 {crc}", 1e3 / varints))
}

/// What criterion measured, in its middle estimate: name, figure, unit. A long name has a line of
/// its own.
fn throughputs(output: &str) -> impl Iterator<Item = (&str, f64, &str)> {
    let mut name = None;
    output.lines().filter_map(move |line| {
        let mut words = line.split_whitespace();
        let first = words.next()?;
        if first.contains('/') && !line.starts_with(' ') {
            name = Some(first);
        }
        // The first line of that name; a second one is a comparison with the last run.
        let figure =
            words.nth(2).filter(|_| first == "thrpt:").and_then(|word| word.parse().ok())?;
        Some((name.take()?, figure, line.split_whitespace().next_back()?))
    })
}

/// The last line that is meant.
fn line(output: &str, is_meant: impl Fn(&str) -> bool) -> Option<&str> {
    output.lines().rev().find(|line| is_meant(line))
}

fn last_number(text: &str) -> Option<u64> {
    text.split_whitespace().next_back()?.parse().ok()
}

/// Something of each row that begins with the name of a crate.
fn crates(output: &str, cell: impl Fn(&[&str]) -> Option<String>) -> Option<String> {
    let rows = output.lines().filter(|line| line.starts_with("samara"));
    let cells = rows.filter_map(|row| {
        let words: Vec<&str> = row.split_whitespace().collect();
        let name = words.first().filter(|name| !name.ends_with(':'))?;
        Some(format!("{} {}", name.trim_start_matches("samara-"), cell(&words)?))
    });
    let cells: Vec<String> = cells.collect();
    (!cells.is_empty()).then(|| cells.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_in_what_the_commands_print() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            crash_points("running 1 test\n120 crash points\ntest a ... ok\n"),
            some("120 crash points")
        );
        assert_eq!(crash_points("0 tests\n"), None);
        let cuts = "powercut fuse: 30 cuts, 7 acknowledgements with 9 changes, 0 lost\n\
powercut xfs: 2 runs with 90 flushes\n\
powercut xfs: 40 cuts, 5 acknowledgements with 9 changes, 0 lost\n";
        assert_eq!(power_cuts(cuts), some("fuse 30, xfs 40; 12 acknowledgements, 0 lost"));
        assert_eq!(
            power_cuts("powercut xfs: 4 cuts, 5 acknowledgements with 9 changes, 1 lost\n"),
            None
        );
        let kill = "kill: 10 rounds, 10 kills, 5 acknowledgements with 9 changes, 0 lost";
        assert_eq!(kills(kill), some(kill.trim_start_matches("kill: ")));
        assert_eq!(
            fuzzing(
                "a_b   1500000 inputs  25000/s  236 MiB\nc 700000 inputs 1/s 3 MiB\nfuzz: 2 targets clean, 60 s each\n"
            ),
            some("2 targets clean, 60 s each; 2.2 million inputs")
        );
        let bench = "decoders/varint   time: [1 ns 2 ns 3 ns]\n  \
thrpt:  [347.90 Melem/s 348.68 Melem/s 351.85 Melem/s]\n  thrpt: [-8.7 % -8.1 % -7.6 %]\n\
decoders/message-session\n  thrpt:  [400.1 Kelem/s 452.28 Kelem/s 473.44 Kelem/s]\n";
        assert_eq!(decoders(bench), some("452280 (message-session), 2 decoders"));
        let bench = "wire/varint/decode/small\n thrpt: [1 Melem/s 500.0 Melem/s 9 Melem/s]\n\
wire/frame_stream/decode/64KiB/plain\n thrpt: [1 GiB/s 7.5 GiB/s 9 GiB/s]\n\
wire/frame_stream/decode/64KiB/crc\n thrpt: [1 GiB/s 5 GiB/s 9 GiB/s]\n";
        assert_eq!(wire(bench), some("2.0 ns; frames 7.5 GiB/s, with CRC-32 5 GiB/s"));
        let table = "crate                 lines            regions\n\
                     samara-wire          935/940  99.5 %  1851/1873  98.8 %  (goal 95 % of lines)\n";
        assert_eq!(lines(table), some("wire 99.5 %"));
        assert_eq!(
            regions("samara-wire          935/940  99.5 %  1851/1873  98.8 %\n"),
            some("wire 98.8 %")
        );
        assert_eq!(
            mutants(
                "samara-tree          83/83      70       9          1         3  88.6 % (goal 85 %)\n"
            ),
            some("tree 88.6 % (83/83 tried, 70 caught)")
        );
        assert_eq!(
            requirements("| MUST | 183 of 183 | 183 of 183 |\n| SHOULD | 2 of 2 | 1 of 2 |\n"),
            some(
                "MUST: 183 of 183 implemented, 183 of 183 tested; SHOULD: 2 of 2 implemented, 1 of 2 tested"
            )
        );
        assert_eq!(
            vectors("varint: 30 passed\n1613 passed, 0 failed\n1613 passed, 0 failed\n"),
            some("1613 vectors, answered by 2 implementations")
        );
        assert_eq!(vectors("1612 passed, 1 failed\n"), None);
        assert_eq!(
            cross("varint: 10000 agreed, 0 did not\nmessage hello: 10000 agreed, 0 did not\n"),
            some("2 kinds, 10000 or more each, all agree")
        );
        assert_eq!(
            memory(
                "a: at most 8 of 100 bytes, for an input of 8\nb: at most 90 of 100 bytes, for an input of 1\n"
            ),
            some("90 % (b), 2 targets")
        );
        assert_eq!(
            states("faults: 900 states, 3000 steps\nwhims: 100 states, 5 steps\n"),
            some("1000 states in 2 worlds")
        );
        assert_eq!(plants("x caught by y\n37 of 37 planted bugs were caught\n"), some("37 of 37"));
    }
}
