//! The driver's tables of questions and answers, and of whom an answer can be to.

use super::is_about;
use crate::driver::Driver;
use crate::living;
use anyhow::{Context, Result};
use firewall_abi::asking::{Answer, Question, Subject, Who, Width};
use std::collections::BTreeSet;

impl Driver {
    /// Returns the questions of the driver that are not answered yet.
    pub fn questions(&self) -> Result<Vec<(Subject, Question)>> {
        let mut asked = Vec::new();
        self.each("QUESTIONS", |subject: &Subject, question: &Question| {
            asked.push((*subject, *question));
        })?;
        Ok(asked)
    }

    /// Puts an answer in force.
    pub fn answer(&self, to: Subject, answer: Answer) -> Result<()> {
        self.table::<Subject, Answer>("ANSWERS")?
            .set(&to, &answer)
            .context("the driver did not take the answer")
    }

    /// Returns the answer for this subject, or `None` if there is none.
    pub fn answer_to(&self, to: &Subject) -> Result<Option<Answer>> {
        self.table::<Subject, Answer>("ANSWERS")?
            .get(to)
            .context("looking for an answer")
    }

    /// Takes an answer back.
    pub fn forget_answer(&self, to: &Subject) -> Result<()> {
        self.table::<Subject, Answer>("ANSWERS")?
            .remove(to)
            .context("taking an answer back")?;
        Ok(())
    }

    /// Returns every answer, those that are over too.
    pub fn answers(&self) -> Result<Vec<(Subject, Answer)>> {
        let mut answers = Vec::new();
        self.each("ANSWERS", |to: &Subject, answer: &Answer| {
            answers.push((*to, *answer));
        })?;
        Ok(answers)
    }

    /// Has the driver ask again what an answer of this width to this was about, once it is over.
    pub fn settle(&self, to: Subject, width: Width) -> Result<()> {
        let asked = self.table::<Subject, Question>("QUESTIONS")?;
        for (subject, question) in self.questions()? {
            if is_about(to, width, &subject, &question) {
                asked.remove(&subject).context("forgetting a question")?;
            }
        }
        Ok(())
    }

    /// Has the driver ask again what it asked.
    pub fn forget_question(&self, subject: &Subject) -> Result<()> {
        let asked = self.table::<Subject, Question>("QUESTIONS")?;
        asked.remove(subject).context("forgetting a question")?;
        Ok(())
    }

    /// Returns whether the program, socket or process that an answer is for exists. A process is watched from then on:
    /// the driver notes its end.
    pub fn watch(&self, who: Who) -> Result<bool> {
        match who {
            Who::Program(_) => Ok(true),
            Who::Socket { cookie } => {
                let asked = self.table::<u64, u64>("ASKED_SOCKETS")?;
                let found = asked.get(&cookie).context("looking for a socket")?;
                Ok(found.is_some())
            }
            Who::Process { pid, began_ns } => {
                let watched = self.table::<[u64; 2], u64>("ANSWERED_PROCESSES")?;
                let failed = "watching a process that was answered";
                watched.set(&who.words(), &1).context(failed)?;
                // A process that ended before that was not seen to.
                let lives = living::is_alive(pid, began_ns);
                if !lives {
                    watched.remove(&who.words()).context(failed)?;
                }
                Ok(lives)
            }
        }
    }

    /// Returns whether the program, socket or watched process that an answer is for still exists.
    pub fn is_watched(&self, who: Who) -> Result<bool> {
        match who {
            Who::Program(_) => Ok(true),
            Who::Socket { .. } => self.watch(who),
            Who::Process { pid, began_ns } => {
                let watched = self.table::<[u64; 2], u64>("ANSWERED_PROCESSES")?;
                let found = watched.get(&who.words()).context("looking for a process")?;
                Ok(found.is_some() && living::is_alive(pid, began_ns))
            }
        }
    }

    /// Returns the processes and sockets that answers may be for: those that have not ended.
    pub fn watched(&self) -> Result<BTreeSet<Who>> {
        let (mut watched, mut gone) = (BTreeSet::new(), Vec::new());
        self.each("ANSWERED_PROCESSES", |words: &[u64; 2], _: &u64| {
            match Who::of(*words) {
                // Its end may have been as it began to be watched.
                Who::Process { pid, began_ns } if !living::is_alive(pid, began_ns) => {
                    gone.push(*words);
                }
                who => {
                    watched.insert(who);
                }
            }
        })?;
        let table = self.table::<[u64; 2], u64>("ANSWERED_PROCESSES")?;
        for words in gone {
            table.remove(&words).context("forgetting a process")?;
        }
        self.each("ASKED_SOCKETS", |cookie: &u64, _: &u64| {
            watched.insert(Who::Socket { cookie: *cookie });
        })?;
        Ok(watched)
    }
}
