//! A few threads for disk work, fed in order, answering in batches.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use tokio::sync::mpsc;

/// Jobs that one thread takes at a time.
const BATCH: usize = 64;

/// Queues of jobs, one per thread. The mesh bounds what is submitted: reads by its read-ahead,
/// writes by the windows of the sources.
#[derive(Debug)]
struct Queue<J> {
    state: Mutex<State<J>>,
    wake: Condvar,
}

#[derive(Debug)]
struct State<J> {
    jobs: VecDeque<J>,
    closed: bool,
}

impl<J> Queue<J> {
    /// A panic elsewhere can't leave the queue half changed.
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for jobs; empty once the queue is closed and drained.
    fn take(&self, batch: &mut Vec<J>) {
        let mut state = self.lock();
        while state.jobs.is_empty() && !state.closed {
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let count = state.jobs.len().min(BATCH);
        batch.extend(state.jobs.drain(..count));
    }
}

/// Something whose answer weighs something, so that large answers do not wait for small ones.
pub(crate) trait Weigh {
    /// Bytes that the answer holds.
    fn weight(&self) -> usize;
}

/// A pool of threads. Jobs with one key run in order on one thread.
#[derive(Debug)]
pub(crate) struct Pool<J> {
    queues: Vec<Arc<Queue<J>>>,
    threads: Vec<JoinHandle<()>>,
}

impl<J: Send + 'static> Pool<J> {
    /// Starts `threads` threads that run `work` and send what it answers to `answers`, many in one
    /// message when they are small.
    pub(crate) fn start<A: Weigh + Send + 'static>(
        name: &str,
        threads: usize,
        answers: &mpsc::Sender<Vec<A>>,
        work: impl Fn(J) -> A + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let mut pool = Self { queues: Vec::new(), threads: Vec::new() };
        for number in 0..threads.max(1) {
            let state = Mutex::new(State { jobs: VecDeque::new(), closed: false });
            let queue = Arc::new(Queue { state, wake: Condvar::new() });
            let (answers, work) = (answers.clone(), work.clone());
            let jobs = Arc::clone(&queue);
            let thread = std::thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || run(&jobs, &answers, work))?;
            pool.queues.push(queue);
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Queues a job. Jobs of equal `key` run in the order of their submission.
    pub(crate) fn submit(&self, key: u64, job: J) {
        let index = usize::try_from(key % self.queues.len() as u64).unwrap_or(0);
        let Some(queue) = self.queues.get(index) else { return };
        let mut state = queue.lock();
        let wake = state.jobs.is_empty();
        state.jobs.push_back(job);
        drop(state);
        if wake {
            queue.wake.notify_one();
        }
    }
}

impl<J> Drop for Pool<J> {
    /// Lets the threads finish what is queued, and waits for them.
    fn drop(&mut self) {
        for queue in &self.queues {
            queue.lock().closed = true;
            queue.wake.notify_one();
        }
        for thread in self.threads.drain(..) {
            // A thread that panicked has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

fn run<J, A: Weigh>(queue: &Queue<J>, answers: &mpsc::Sender<Vec<A>>, work: impl Fn(J) -> A) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        queue.take(&mut batch);
        if batch.is_empty() {
            return;
        }
        let mut ready = Vec::new();
        let mut weight = 0;
        for job in batch.drain(..) {
            let answer = work(job);
            weight += answer.weight();
            ready.push(answer);
            if weight >= 128 << 10 {
                weight = 0;
                // Nobody listens only when the node is going away.
                let _ = answers.blocking_send(core::mem::take(&mut ready));
            }
        }
        if !ready.is_empty() {
            let _ = answers.blocking_send(ready);
        }
    }
}
