### What people read, in English: the window whole, and what it has in common with the command line.
### A key is named after where it stands; what is in braces is put in. docs/languages.md says how one is added.

## What became of a packet, and why

verdict-allow = allow
verdict-block = block
verdict-reject = reject
verdict-ask = ask
verdict-defer = defer

what-allowed = allowed
what-refused = refused
what-rejected = rejected
what-asked = asked
what-deferred = deferred
what-started = started
what-ended = ended
what-ended-code = ended { $code }
what-killed = killed { $signal }
what-lost = LOST
what-unknown = UNKNOWN
what-first-contact = { $what }, first contact
what-changed-program = { $what }, changed program

way-in = in
way-out = out
way-forward = forward

reason-rule = rule
reason-default = default
reason-malformed = malformed
reason-fragment = fragment
reason-reply = reply
reason-fail-mode = fail_mode
reason-answer = answer
reason-unanswered = unanswered
reason-link = link

cause-no-room = no_room
cause-closing = closing
cause-too-large = too_large

decided-by-rule = { $rule } (line { $line })
decided-by-unnamed = a rule of generation { $generation }

lost-records = { $count ->
    [one] 1 record
   *[other] { $count } records
} ({ $cause }), processor { $processor }
lost-together = { $count ->
    [one] 1 record
   *[other] { $count } records
} ({ $cause })
unreadable-record = a record of kind { $kind }, { $count ->
    [one] 1 byte
   *[other] { $count } bytes
}, which this release can't read
driver-ended = the driver ended it: { $why }
ending-detached = this window let go of it
ending-stopping = it is being stopped
ending-incompatible = another release takes its place; install the same release of this program

## Who, and where

ends-connect = connect
ends-icmp = { $ends } type { $type } code { $code }
end-port = { $end } to port { $port }
end-many = many
end-from = from { $end }
end-from-to = { $from } to { $to }
endpoint-icmp = { $ends }, { $protocol } type { $type }
endpoint-many = many, counted together
program-pid = pid { $pid }
program-user = user { $user }
not-known = not known
somebody = somebody here
user-unknown = user unknown
process-pid = { $name } (pid { $pid })
sentence = { $program } of user { $user } { $arrow } { $endpoint }
endpoint-port = { $remote } { $protocol } port { $port }
endpoint-protocol = { $remote } { $protocol }
endpoint-and-others = { $first }{ $others ->
    [0] , and wherever else
    [one] {" "}and 1 other place
   *[other] {" "}and { $others } other places
}

## Titles of columns

column-time = Time
column-what = What
column-way = Way
column-protocol = Protocol
column-ends = Source -> destination
column-rule = Rule
column-program = Program
column-last = Last
column-first = First
column-times = Times
column-endpoint = Endpoint
column-other-end = Other end
column-user = User
column-records = Records
column-sent = Sent
column-received = Received
column-allowed = Allowed
column-refused = Refused
column-asked = Asked
column-action = Action
column-takes = Takes
column-hits = Hits
column-remarks = Remarks
column-holds = Holds
column-by = By
column-when = When
column-set = Set
column-from = From
column-entries = Entries
column-joined = Joined
column-changed = Changed
column-asked-for-by = Asked for by
column-network = Network
column-known-by = Known by
column-now = Now
column-on = On
column-off = Off

by-program = program
by-name = name
by-rule = rule
by-user = user
by-endpoint = endpoint

## What the rules ask, and answers

choice-allow = allow
choice-block = block
choice-connection = this connection
choice-minutes = 10 minutes
choice-process = until the program ends
choice-restart = until the service starts again
choice-always = always
choice-endpoint = this endpoint
choice-address = this address
choice-port = this port
choice-everywhere = everywhere
choice-mute = ask no more about this program for an hour
question-of-link = a link-local address is another machine's on each network, and an answer knows no network: none that allows it holds for long; a rule that names the interface does

asked-by-rule = rule `{ $rule }` asks
asked-by-number = rule number { $number } of its generation asks, whose name is not known here
asked-by-default = the default asks
asked-packets = { $by }; packets: { $packets }
asked-more = { $asked }; { $more ->
    [one] 1 more of this program waits
   *[other] { $more } more of this program wait
} behind it
unanswered-in = { $verdict } in { $seconds } s

about-address = { $remote }, whatever the port
about-port = { $protocol } port { $port }, whatever the address
about-protocol = { $protocol }, whatever the address
about-anything = whatever the address and port
about-listed = { $count ->
    [one] the place listed
   *[other] the { $count } places listed
}
about-listed-addresses = { $count ->
    [one] the address listed, whatever the port
   *[other] the { $count } addresses listed, whatever the port
}
about-listed-ports = { $count ->
    [one] the port listed, whatever the address
   *[other] the ports of the { $count } places listed, whatever the address
}
lasts-connection = for this connection alone
lasts-process = until process { $pid } ends
lasts-minutes = for { $count ->
    [one] 1 minute
   *[other] { $count } minutes
}
lasts-seconds = for { $seconds } s
lasts-restart = until the service starts again
lasts-always = always
answer-given = { $verdict } { $lasts }: { $about }

held-anywhere = anywhere
held-any-address = any address, { $what }
held-any-port = { $remote }, any port
held-protocol = protocol { $number }
held-port = port { $port }
held-one-connection = for one connection
held-always-later = always, once the program is there
held-always-of-link = always, but not in force: another machine has this address on each network
held-left = { $seconds } s left
held-until-left = { $until }, { $seconds } s left
held-by = by { $who }
held-by-nobody = nobody answered in time
held-by-unknown = who answered is not known any more

## How the service is

status-title = gatebelld { $version }, process { $pid }, for { $age }; contract { $contract }
status-rules = rules
status-lease = lease
status-zone = zone
status-devices = devices
status-memory = memory
status-history = history
status-network = network
status-list = list
status-gone = when gone
status-start = start
status-adopted = it took over what an earlier service had left in the kernel: no packet went unjudged
status-no-devices = none yet
status-devices-judged = { $devices }: judged in the IP stack as they take in, send out and forward, and by who is at this end in the control group
status-in-force = generation { $generation }: { $count ->
    [one] 1 rule
   *[other] { $count } rules
}{ $from }
status-of-file = {" "}of { $file }
status-of-kernel = , found in the kernel, of no file
status-on-lease = generation { $generation } has { $left } left, then generation { $fallback } returns by itself; `gatebell rules confirm { $generation }` keeps it, `gatebell rules revert { $generation }` takes it back now
status-zone-netns = network namespace { $netns }, control group { $group }
status-zone-own = the network namespace of the service, control group { $group }
memory-tables = { $size } tables
memory-rules = { $size } rules
memory-sets = { $size } sets
memory-rings = { $size } rings of apps
memory-let-go = { $size } rings let go of and still mapped
memory-kernel = { $used } of { $budget } in the kernel: { $parts }
history-none = nothing is kept of what happens
history-kept = { $used } of { $budget } on the disk, { $days ->
    [one] 1 day
   *[other] { $days } days
}; { $kept ->
    [one] 1 record
   *[other] { $kept } records
} kept, { $lost } lost since the start
history-put-aside = { $history }; one that could not be read lies beside it
network-there = there
network-away = not there
network-unknown = not known
network-seen = { $name }: { $presence }: { $why }
network-on = { $network }; on: { $rules }
network-off = { $network }; off: { $rules }
network-blocks = { $network }; blocking until it is known: { $rules }
list-entries = @{ $set }: { $count ->
    [one] 1 entry
   *[other] { $grouped } entries
}
list-of = , of { $time }
list-added = , { $number } added
list-removed = , { $number } removed
list-unreadable = , { $number } unreadable
list-every = { $list }; { $url }, every { $time }
list-failed = { $list }; the last try failed: { $why }
gone-open = everything passes if the service ends; the kernel keeps it in { $pins }, `gatebell recover` takes it all out
gone-closed = nothing passes if the service ends; the kernel keeps it in { $pins }, `gatebell recover` takes it all out
gone-static = the rules stay in force if the service ends; the kernel keeps it in { $pins }, `gatebell recover` takes it all out
time-seconds = { $seconds } s
time-minutes = { $minutes } min
time-hours = { $hours } h { $minutes } min
time-days = { $days ->
    [one] 1 day
   *[other] { $days } days
}
size-bytes = { $count ->
    [one] 1 byte
   *[other] { $count } bytes
}

## A filter that is wrong

filter-wrong = column { $column }: { $what }
filter-no-value = what is asked for is missing after { $key }
filter-direction = it is in, out or forward, seen from what is protected
filter-verdict = it is allow, block, reject or ask
filter-port = a port is a number up to 65535
filter-user = a user is a number; `id -u NAME` says which
filter-interface = an interface is a device's name, like eth0, or how names begin, like wg*
filter-since = a time is written like 60s, 10m, 24h or 7d
filter-not-kept = by which device it went is not kept; the live page can be filtered by that
filter-unknown = { $key } can't be asked for; one can ask for { $keys }

## What a rule takes

takes-everything = everything
takes-from = from { $ends }
takes-to = to { $ends }
takes-port = port { $ports }
takes-user = user { $user }
takes-nobody = { $name } (nobody known)
takes-on = on { $device }
takes-out-by = out by { $device }
takes-at = at { $networks }
takes-not-at = not at { $networks }

## The window's frame

tab-live = Live
tab-programs = Programs
tab-history = History
tab-rules = Rules
tab-answers = Answers
tab-sets = Sets
tab-networks = Networks
tab-status = Status
tab-keys = Ctrl+{ $number }
foot-no-counters = no counters yet
foot-driver = driver: offered { $offered }, committed { $committed }
foot-lost = lost { $lost }
foot-app = app: delivered { $delivered }, in the ring { $waiting }
foot-questions = questions: { $why }
asking-firewall = asking the firewall…
no-service-here = On this system there is no service that could be asked.
goes-on-by-itself = This window asks again and goes on by itself.
lease-runs = Generation { $generation } is tried out: in { $seconds } s generation { $fallback } returns by itself.
lease-keep = Keep
lease-return = Return now
close = Close
copy = Copy
copy-row = Copy row
copy-command = Copy command
done = Done
undo = Undo
order-by = Order by { $column }
no-window = can't show a window: { $why }; a terminal needs none
not-told-by = can't be told by { $device }

## The filter

filter = Filter
filter-hint = curl, program:/usr/bin/curl verdict:block …
filter-help = Words that stand anywhere, and what gatebell watch can be asked for: direction: verdict: address: rule: program: name: port: user: interface: since:

## Live

live-pause = Pause
live-together = Together
live-together-help = A row for each program and endpoint, with how often it happened
live-counts = { $all ->
    [one] 1 row
   *[other] { $all } rows
}
live-counts-shown = { $shown } of { $all ->
    [one] 1 row
   *[other] { $all } rows
}
live-dropped = { $counts }, { $dropped ->
    [one] 1 older one
   *[other] { $dropped } older ones
} dropped
live-paused = { $counts }; paused, { $since } more since
contact-details = { $program }: { $endpoint }: { $verdict }. { $news }
live-group = { $words }: { $times ->
    [one] once
   *[other] { $times } times
}, last { $last }
folded = { $words }, folded

## What a file is made of by a click

save-as = Save as { $format }
save-written = Written: { $file }
save-not-written = Nothing was written: { $why }
save-cannot = can't write { $file }: { $why }; make that right, then save it again
save-full = { $folder } is full of such files: remove some, then save it again

## Why a packet was refused or allowed, and the rule that decides otherwise

why-allowed = Allowed { $by } (generation { $generation }): { $ends }
why-refused = Refused { $by } (generation { $generation }): { $ends }
why-rejected = Rejected { $by } (generation { $generation }): { $ends }
why-asked = Asked about, as { $asks } (generation { $generation }): { $ends }
why-answer = by an answer, which the page "Answers" takes back, as { $asks }
why-unanswered = because nobody answered in time, as { $asks }
why-by-rule = by rule "{ $rule }", line { $line } of the rule file
why-by-number = by rule number { $number } of its generation, whose name is not known here
why-malformed = because its headers are cut off, contradict themselves, or lead on from where they say it goes
why-reply = as a reply to what was allowed
why-link = because the kernel itself sends it to stay on its link
why-fail-mode = because the service has ended, and the rule file says what then
why-fragment = by the default: no rule took the later fragment, which shows no ports
why-default-in = by the default for packets going in: no rule matched
why-default-out = by the default for packets going out: no rule matched
why-default-forward = by the default for packets that are forwarded: no rule matched
no-rule-reply = It goes on with a connection that was allowed: select the packet that began it.
no-rule-malformed = No rule can allow it: its headers are cut off, contradict themselves, or lead on from where they say it goes, and nobody can say which rule it would fall under.
no-rule-fail-mode = No rule can allow it while the service is gone: the rule file's `fail_mode` decides until then. Start the service again: sudo systemctl start gatebell
place-above-rule = above rule "{ $rule }" (line { $line })
place-above-number = above rule number { $number } of generation { $generation }, whose name is not known here; above all other rules is always right
place-anywhere = anywhere among the rules
place-taking-rule = before the rule that takes it now
place-first = before all other rules
place-last = after all other rules: none takes it yet
place-before = before rule "{ $rule }", which takes it now
place-after = after rule "{ $rule }"
allow-this = Allow this
block-this = Block this
as-this-rule = as this rule, { $place }:
into-the-file = No service takes it by a click here: put this into the rule file, { $place }:
wish-of = of
wish-about = about
who-program = this program ({ $path })
who-user = user { $user }
who-anyone = whoever it is
reach-port = { $protocol } port { $port }
reach-from = from { $address }, { $what }
reach-to = to { $address }, { $what }
reach-from-any-port = from { $address }, whatever the port
reach-to-any-port = to { $address }, whatever the port
reach-any-address = { $what }, whatever the address
reach-anything = whatever the address and port
reach-between = between these two addresses, { $what }
reach-between-any-port = between these two addresses, whatever the port
reach-any-addresses = { $what }, whatever the addresses

## What became of a change

change-waits = waiting for permission… { $seconds } s
change-refused = Nothing was changed. { $why }
change-as-root = As root:
change-in-force-rule = In force as rule { $rule } (generation { $generation })
change-in-force = In force: { $what } (generation { $generation })
change-rule-back = Rule { $rule } is taken back (generation { $generation })
change-back = Taken back: { $what } (generation { $generation })
change-tried = Tried out: { $what } (generation { $generation })
change-kept = Generation { $generation } is kept
change-returned = Generation { $generation } is back
change-add = add { $rule }
change-enable = enable { $rule }
change-disable = disable { $rule }
change-move = move { $rule }
change-remove = remove { $rule }
change-edit = edit { $rule }
change-replaced = Somebody else is changing the rules at this moment, and nothing was changed now; try again.
change-patience = The firewall has not answered for two minutes: perhaps nobody gave the permission. See what is in force, then try again: gatebell rules show
change-by-others = Others have changed the rules since "{ $what }", and to take it back would take theirs back too. See what was changed, and by whom: sudo gatebell rules log
draft-allowed-already = The rules that are in force now allow it already.
draft-blocked-already = The rules that are in force now block it already.
draft-other-program = No such rule decides about this packet: its program is not the file that has this path now. Choose something else than this program.
edit-nothing-changes = Nothing changes: rule "{ $rule }" is so already.
edit-rule-gone = Rule "{ $rule }" is not among the rules in force any more.
edit-is-first = It is the first rule.
edit-is-last = It is the last rule.
edit-wrong = line { $line }, column { $column }: { $what }
answers-none-held = No such answer held any more
answers-taken-back = { $count ->
    [one] Taken back: it is asked about again
   *[other] { $count } taken back: they are asked about again
}
set-joined = { $address } is in { $set } until it is removed
set-joined-for = { $address } is in { $set } for { $minutes } min
set-left = { $address } has left { $set }
set-stays = { $address } is in { $set } all the same: the rule file has it there

## Why the service can't be asked

failed-not-running = gatebelld is not running; start it with `sudo systemctl start gatebell`
failed-not-allowed = you may not ask the firewall; run this as root, or have root add you to the group gatebell: `sudo usermod -aG gatebell $USER`, then log in again
failed-hung-up = gatebelld hung up; `systemctl status gatebell` says whether it has ended, else ask again more slowly
failed-system = can't ask gatebelld: { $why }; `systemctl status gatebell` says how it is
failed-misfit = gatebelld answers { $what }; install the same release of gatebell and gatebelld, then restart it
refused-no-lease = no lease runs; `gatebell rules apply --lease` starts one
refused-lease-over = the lease has ended, and the rules that were confirmed are back; apply them again
refused-rules-replaced = somebody else changed the rules meanwhile, and nothing was changed now; ask again
refused-no-question = no question of this number waits: it was answered, or its time is over; `gatebell ask --list` shows those that do
rules-no-text = the service found the rules in the kernel and has no text of them; apply a rule file: gatebell rules apply FILE
rules-on-lease = rules are on a lease; nothing was changed: keep them or take them back first, `gatebell rules confirm` or `gatebell rules revert`
rules-unreadable = This window can't read the rules in force; it may be of another release than the service: install the same.
rules-changed-by-hand = { $file } was changed and is not in force as it is now; nothing was changed: see what differs, `gatebell rules show --text | diff - { $file_word }`, then put it in force, `sudo systemctl reload gatebell`, or take your change out of it

## The card, the notification and the tray

card-may-come-in = May this come in?
card-may-go-out = May this go out?
card-one-of = 1 of { $all ->
    [one] 1 question
   *[other] { $all } questions
}
card-unanswered = without an answer: { $what }
card-on-its-way = the answer is on its way
card-answer = answer
card-how-long = for how long
card-about = about
card-give = Answer (Enter)
card-leave = Leave it
card-choose-first = choose first: A allows, B blocks
card-keys-are-filters = the keys are the filter's now; Esc leaves it
card-how = A or B, then Enter
card-left = { $left } of { $all ->
    [one] 1 question
   *[other] { $all } questions
} left to their time
card-show-again = Show again
card-program = program
card-process = process
card-wants = wants
card-why = why
card-note = note
card-places = listed
card-mute = Ask no more
card-user = user { $user }
card-process-user = { $process }, { $user }
card-in-from = in, from { $endpoint }
card-out-to = out, to { $endpoint }
card-given = { $program }: { $answer }
card-answered = answered: { $answer }
card-not-answered = not answered ({ $answer }): { $why }
card-keyed = { $words } ({ $key })
notice-may-come-in = Gatebell: may this come in?
notice-may-go-out = Gatebell: may this go out?
notice-asks = { $question }
    without an answer: { $unanswered }
notice-more = { $asked }; { $more ->
    [one] 1 more waits
   *[other] { $more } more wait
}
notice-not-answered = Gatebell: not answered
notice-open = Open the window
notice-allow = Allow for 10 minutes
notice-block = Block for 10 minutes
notice-trouble = the desktop shows no notification of questions: { $why }
tray-nothing = Nothing is asked.
tray-waiting = { $count ->
    [one] A question waits for your answer.
   *[other] { $count } questions wait for your answer.
}

## What was: programs and history

past-last = The last
since-hour = hour
since-day = day
since-week = week
since-all = all that is kept
past-reading = reading what was kept…
past-left-out = More was kept than is shown here: { $count ->
    [one] 1 older row is
   *[other] { $count } older rows are
} left out. All of it: gatebell history
past-unread = { $count ->
    [one] 1 row can't be read and is left out
   *[other] { $count } rows can't be read and are left out
}: a later release may have written them
past-not-kept = Nothing is kept of what happens: gatebelld was started with --history-days 0.
past-filtered = Nothing that was kept of this time is what the filter asks for.
past-nothing = Nothing was kept of this time. What your own programs do is shown here once they talk with others; what others' programs do is shown to root alone: sudo gatebell history
past-ends-not-kept = The own address and port, and the device, are not kept: rules that ask for these may decide otherwise.
past-unknown-way = This release does not know which way it went.
past-many-endpoints = These are many endpoints, counted together: none of them is kept by itself. The live page shows each as it happens.
past-no-ports = What was asked for is not kept of what has no ports. Select its packet on the live page, as it happens.
last-allowed = allowed { $by }
last-asked = asked about { $by }
last-refused = refused { $by }
last-by-rule = by rule "{ $rule }"
last-by-default = by the default
last-by-answer = by an answer
last-by-nobody = because nobody answered in time
chart-carried-minute = Carried each minute: at most { $size }; below it refused: at most { $refused }
chart-carried-hour = Carried each hour: at most { $size }; below it refused: at most { $refused }
chart-carried-day = Carried each day (of UTC): at most { $size }; below it refused: at most { $refused }
chart-allowed-minute = Allowed each minute: at most { $allowed }; below it refused: at most { $refused }
chart-allowed-hour = Allowed each hour: at most { $allowed }; below it refused: at most { $refused }
chart-allowed-day = Allowed each day (of UTC): at most { $allowed }; below it refused: at most { $refused }
chart-bar = { $time }: { $size }, allowed { $allowed }, refused { $refused }
chart-whole-minute = By the minute, { $bars } of them; the most at { $most }
chart-whole-hour = By the hour, { $bars } of them; the most at { $most }
chart-whole-day = By the day (of UTC), { $bars } of them; the most at { $most }
programs-endpoints = { $program }, { $count ->
    [one] 1 endpoint
   *[other] { $count } endpoints
}
programs-contact = { $program }, { $mark }
programs-new = new
programs-changed = changed
programs-first-ever = It talked for the first time ever at { $time }.
programs-file-changed = Its file has changed since it had talked before; it talked again at { $time }.
programs-facts = { $sent } sent, { $received } received; first { $first }, last { $last }: { $verdict }
history-by = Put together by
history-by-nothing = nothing
history-row = { $program }: { $verdict }, { $count ->
    [one] once
   *[other] { $count } times
} from { $first } to { $last }

## Rules

rules-default = default
rules-off = off
rules-none = { $file } has no rules: the defaults decide. Select a packet on the live page to make the first one.
rules-title = { $rule }: { $action } { $takes }
rules-put = Put in force
rules-try = Try for { $seconds } s
rules-asking-file = asking what becomes of the file…
rules-no-click = No service takes it by a click here.
rules-text = The rule's text
rules-then = then { $warning }
rules-compared-here = Judged as in the network where this machine is now: rules for other networks are off.
rules-compared-none = { $told ->
    [one] The one record of the last week would not be decided otherwise.
   *[other] None of the { $told } records of the last week would be decided otherwise.
}
rules-compared-some = { $told ->
    [one] The one record of the last week would be decided otherwise:
   *[other] Of the { $told } records of the last week would be decided otherwise:
}
rules-compared-none-untold = { $told ->
    [one] The one record of the last week would not be decided otherwise
   *[other] None of the { $told } records of the last week would be decided otherwise
} (of { $untold } more too little is kept to tell).
rules-compared-some-untold = { $told ->
    [one] The one record of the last week would be decided otherwise
   *[other] Of the { $told } records of the last week would be decided otherwise
} (of { $untold } more too little is kept to tell):
rules-otherwise = { $what }: { $before } before, { $after } then ({ $count ->
    [one] once
   *[other] { $count } times
})
rules-others = { $count ->
    [one] and 1 other
   *[other] and { $count } others
}
rules-row = { $number } { $rule }: { $action } { $takes }, hits { $hits }, { $remarks }
rules-row-last = { $number } { $rule }: { $action } { $takes }, hits { $hits }, last { $last }, { $remarks }
rules-disabled = disabled
rules-elsewhere = off in this network
rules-blocks = blocks, and asks nobody, until it is known which network this is
rules-covered = never matches: one before it takes all of it
rules-reported = reported
rules-not-reported = not reported
rules-default-takes = { $way }, whatever no rule takes
rules-default-row = default for { $way }: { $action }, { $remarks }
rules-enable = enable
rules-disable = disable
rules-move-up = move up
rules-move-down = move down
rules-remove = remove
rules-edit = edit

## Answers

answers-none = No answer holds. Where a rule or a default asks (action = "ask"), a question comes up in this window and as a notification; what you answer is listed here, and can be taken back. Others' answers are shown to root alone: sudo gatebell answers
answers-title = { $outcome }: { $what }
answers-facts = { $lasts }; { $by }
answers-take-back = Take back
answers-take-back-all = { $count ->
    [one] Take back the one of this program
   *[other] Take back all { $count } of this program
}
answers-asked-again = What is taken back is asked about again when it happens next.
answers-row = { $outcome } { $what }: { $lasts }, { $by }

## Sets

sets-hour = for an hour
sets-day = for a day
sets-always = until it is removed
sets-none = { $file } has no sets. A set is addresses under one name, written there, in a file of theirs such as a block list, or known by their names: [[set]] with id and addresses, file or names; rules ask for it as "@id".
sets-many = { $joined } have joined it; the last { $shown } are shown here, all of them by: gatebell set list { $set_word }
sets-address = Address
sets-join = Have it join
sets-title = { $set }: { $count ->
    [one] 1 entry
   *[other] { $grouped } entries
} from { $from }; { $asked }
sets-asked-for = asked for by { $rules }
sets-not-asked-for = no rule asks for it
sets-remove = Remove
sets-remove-this = Remove { $address }
sets-left = { $seconds } s left
sets-member = { $address }, { $lasts }
sets-member-by = { $address }, { $lasts }, { $name }
sets-row = { $set }: { $count ->
    [one] 1 entry
   *[other] { $grouped } entries
} from { $from }, { $joined } joined, asked for by { $rules }, { $remarks }
sets-remarks = { $count ->
    [one] 1 remark on its entries
   *[other] { $count } remarks on its entries
}
sets-line = line { $line }: { $what }
sets-rule-file = the rule file

## Networks

networks-none = There is no network in { $file }. Rules can be on in some networks alone, at home and not in a café: write a [[network]] into the file, with an id and by what it is known (interface, ssid, connection, gateway, gateway_hardware), and network = "its id" in the rules that are to be on there. Where this machine is now is:
networks-route = Default route:
networks-no-route = There is no default route now: by what a network is known is shown here once there is one.
networks-copy = Copy as a network
networks-copy-this = Copy the default route { $route } as a network
networks-row = { $network }: { $presence }, known by { $keys }, on: { $on }, off: { $off }, { $remarks }
networks-row-elsewhere = { $name }: { $means }
networks-no-rule = no rule
networks-in-none = as if in none
networks-in-none-means = There is a default route, and it goes by none of these networks.
networks-unknown = as if not known
networks-unknown-means = There is no default route, or its gateway has not been heard from.
networks-blocking = blocking until it is known: { $rules }
networks-late = the rules are not switched yet
networks-safe-side = What is not known opens nothing: a rule that allows is off, one that asks blocks, any other is on.
networks-not-asked-for = No rule asks for a network.
networks-as-if = If this machine were in { $network }, and in no other of these networks:
networks-as-here = If this machine were in { $network }, and in no other of these networks, every rule would be as it is now.
networks-as-otherwise = If that were so:
networks-as-now = If that were so, every rule would be as it is now.
networks-switched = { $rule }: { $now } now, { $then } then
networks-rule-on = on
networks-rule-off = off
networks-rule-blocks = blocking

## Status

status-how = How it is
status-well = Nothing is amiss.
status-service = service
status-kernel = kernel
status-packets = Packets
status-judged = packets
status-judged-way = { $way } { $judged } = { $allowed } allowed + { $refused } refused
status-judged-left = { $counted } + { $left } left to who gets them, and nobody did
status-told = What apps were told
status-balances = Every record is accounted for: what was offered is what was written and what was lost.
status-no-balance = The books do not balance at this moment; if that stays so, report it: gatebell audit
status-app = process { $pid }
status-app-lies = { $counted }; it says of its ring what can't be: end it
status-past = those gone
status-allowed = allowed
status-refused = refused
status-connects = connects
status-connects-refused = { $refused } refused at once, before there was a packet
status-nobody = to nobody
status-left-in = { $count ->
    [one] 1 packet was left to who gets it, and nobody did
   *[other] { $count } packets were left to who gets them, and nobody did
}: most often somebody tries ports that nobody here has
status-rejected = rejected
status-rejects = senders that were told: { $answered }; too many to be told: { $untold }; answers that failed: { $failed }
status-names = names
status-names-unread = { $count ->
    [one] 1 answer of DNS found no room or could not be read: what it told of has no name
   *[other] { $count } answers of DNS found no room or could not be read: what they told of has no name
}
status-names-joined-none = { $count ->
    [one] once an answer of DNS, or an address of one, was not believed or joined no set by name: nobody was seen to ask, the answers of its resolver do not count there, the set leaves the address out, or there was no room
   *[other] { $count } times an answer of DNS, or an address of one, was not believed or joined no set by name: nobody was seen to ask, the answers of its resolver do not count there, the set leaves the address out, or there was no room
}
status-connections = connections
status-flows = { $flows } of { $most }
status-flows-full = { $flows } of { $most }; { $full ->
    [one] 1 packet
   *[other] { $full } packets
} found no lasting room, and new connections may push theirs out: end what opens so many
status-lost-no-room = { $lost } lost as its ring was full
status-lost-closing = { $lost } lost as it was ending
status-lost-too-large = { $lost } lost as larger than its ring
status-lost-none = none lost
status-counted = { $count ->
    [one] 1 record
   *[other] { $count } records
} offered, { $committed } written, { $lost }

## What is wrong with the service: in English it says so itself

trouble-other = { $cause }: { $detail }
trouble-hooks = { $detail }
trouble-stand-in = { $detail }
trouble-rule-file = { $detail }
trouble-missing = { $detail }
trouble-lease = { $detail }
trouble-rules = { $detail }
trouble-networks = { $detail }
trouble-routes = { $detail }
trouble-programs = { $detail }
trouble-members = { $detail }
trouble-asked-again = { $detail }
trouble-answers = { $detail }
trouble-answers-asked-again = { $detail }
trouble-sweep = { $detail }
trouble-rule-file-states = { $detail }
trouble-answering = { $detail }
trouble-fallback = { $detail }
trouble-device-server = { $detail }
trouble-lists = { $detail }
trouble-list-not-taken = the list of the set `{ $set }` that was fetched is not taken: { $detail }; the last good one stays, if there is one, until another one comes or `gatebell set refresh { $set_word } --take` takes it as it is
trouble-list-old = the list of the set `{ $set }` is old, and the last good one stays: { $why }
trouble-program-files = { $detail }
trouble-kept = { $detail }
trouble-lost-members = { $detail }
trouble-answers-file = { $detail }
trouble-state = { $detail }
trouble-names = { $detail }
trouble-named-sets = { $detail }
trouble-rejected = { $detail }
trouble-recorder = { $detail }
trouble-history-rows = { $detail }
list-nobody-fetches = nobody fetches it: `systemctl status gatebell-lists` says why
fetch-status = the server answers { $detail }
fetch-no-end = the server does not say where it ends, so that it could be cut off unseen
fetch-too-long = it is longer than { $detail }
fetch-too-slow = it takes longer than { $detail }
fetch-unknown-host = its host is not known
fetch-redirects = it sends elsewhere once too often; the most is { $detail }
fetch-without-tls = it sends to an address without TLS
fetch-cut-off = it ended before its time
fetch-not-written = it can't be written: { $detail }
fetch-no-roots = nobody can vouch for its server: { $detail }
fetch-other = { $kind }: { $detail }

## By what a network is known, or why it is not there

sign-device = the default route goes by { $device }
sign-gateway = the default route goes by { $device }, gateway { $gateway }
sign-hardware = the default route goes by { $device }, gateway { $gateway } at { $hardware }
sign-ssid = { $device } is in the wireless network `{ $ssid }`
sign-other-ssid = { $device } is in the wireless network `{ $ssid }`, not { $asked }
sign-no-ssid = { $device } is in no wireless network
sign-unknown-ssid = it is not known in which wireless network { $device } is
sign-connection = { $device } has NetworkManager's connection `{ $connection }`
sign-other-connection = { $device } has NetworkManager's connection `{ $connection }`, not { $asked }
sign-no-connection = { $device } has no connection of NetworkManager's
sign-unknown-connection = NetworkManager has not said which connection { $device } has
sign-unnamed-connection = the name of NetworkManager's connection of { $device } is not known, only its UUID `{ $connection }`: NetworkManager tells it when the connection begins the next time
sign-no-manager = NetworkManager, which alone knows the connection of { $device }, does not run
sign-other-device = the default route goes by { $device }, not { $asked }
sign-other-gateway = the gateway by { $device } is { $gateway }, not { $asked }
sign-other-hardware = the gateway { $gateway } by { $device } is at { $hardware }, not { $asked }
sign-no-gateway = the default route by { $device } has no gateway
sign-no-hardware = the gateway { $gateway } by { $device } has no hardware address
sign-unknown-hardware = the hardware address of the gateway { $gateway } by { $device } is not known yet
sign-no-route = there is no default route
sign-untold = the kernel does not tell its routes: { $detail }
