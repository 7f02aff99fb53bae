use alloc::vec::Vec;
use core::ops::Range;

use samara_base::RangeSet;

use crate::{
    Cv, CvSource, Node, OpenError, Verifier,
    state::{Entry, STORED_LEAVES, State},
};

impl State {
    /// Turns held leaves into open ones, keeping their proven values. Returns the leaves given up.
    pub(crate) fn lose<S: CvSource + ?Sized>(
        &mut self,
        source: &S,
        range: &Range<u64>,
    ) -> Result<RangeSet, OpenError<S::Error>> {
        let mut lost = RangeSet::new();
        let mut opened: Vec<(Node, Cv)> = Vec::new();
        for run in self.held.within(range).runs() {
            let mut leaf = run.start;
            while leaf < run.end {
                let unit = self.unit_at(leaf);
                let cv = match self.entry(unit) {
                    Some(entry) => entry.cv,
                    None => {
                        let mut cv = [Cv::default()];
                        let at = unit.first() / STORED_LEAVES;
                        source.read_cvs(at, &mut cv).map_err(OpenError::Source)?;
                        let [cv] = cv;
                        cv
                    }
                };
                opened.push((unit, cv));
                lost.insert(unit.range());
                leaf = unit.end();
            }
        }
        let mut next = self.clone();
        for (node, cv) in opened {
            next.entries.insert(node.first(), Entry { end: node.end(), cv, held: false });
        }
        next.held = self.held.difference(&lost);
        next.collapse();
        if next.entries.len() > Verifier::NODES_MAX {
            return Err(OpenError::Fragmented);
        }
        // The values were read from the store: they count only if all still merges to the id.
        if !next.load(source).map_err(OpenError::Source)? {
            return Err(OpenError::Root);
        }
        *self = next;
        Ok(lost)
    }
}
