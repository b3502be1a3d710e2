### Was Menschen lesen, auf Deutsch. Die Schlüssel und das, was in geschweiften Klammern steht, sind die von en.ftl.

## Was aus einem Paket wurde, und warum

verdict-allow = erlauben
verdict-block = blockieren
verdict-reject = ablehnen
verdict-ask = fragen
verdict-defer = zurückstellen

what-allowed = erlaubt
what-refused = abgewiesen
what-rejected = abgelehnt
what-asked = nachgefragt
what-deferred = zurückgestellt
what-started = gestartet
what-ended = beendet
what-ended-code = beendet { $code }
what-killed = Signal { $signal }
what-lost = VERLUST
what-unknown = UNBEKANNT
what-first-contact = { $what }, Erstkontakt
what-changed-program = { $what }, geändert

way-in = eingehend
way-out = ausgehend
way-forward = weitergeleitet

reason-rule = Regel
reason-default = Vorgabe
reason-malformed = fehlerhaft
reason-fragment = Fragment
reason-reply = Antwortpaket
reason-fail-mode = ohne Dienst
reason-answer = Antwort
reason-unanswered = unbeantwortet
reason-link = Netzsegment

cause-no-room = Ring voll
cause-closing = beim Beenden
cause-too-large = zu groß

decided-by-rule = { $rule } (Zeile { $line })
decided-by-unnamed = eine Regel der Generation { $generation }

lost-records = { $count ->
    [one] 1 Eintrag
   *[other] { $count } Einträge
} ({ $cause }), Prozessor { $processor }
lost-together = { $count ->
    [one] 1 Eintrag
   *[other] { $count } Einträge
} ({ $cause })
unreadable-record = ein Eintrag der Art { $kind } mit { $count ->
    [one] 1 Byte
   *[other] { $count } Bytes
}, den diese Version nicht lesen kann
driver-ended = Der Treiber hat die Übertragung beendet: { $why }
ending-detached = Dieses Fenster hat sich abgemeldet.
ending-stopping = Er wird gerade angehalten.
ending-incompatible = Eine andere Version tritt an seine Stelle; bitte dieselbe Version dieses Programms installieren.

## Wer, und wohin

ends-connect = Verbindungsaufbau
ends-icmp = { $ends } Typ { $type } Code { $code }
end-port = { $end } an Port { $port }
end-many = viele
end-from = von { $end }
end-from-to = { $from } an { $to }
endpoint-icmp = { $ends }, { $protocol } Typ { $type }
endpoint-many = viele, zusammen gezählt
program-pid = PID { $pid }
program-user = Benutzer { $user }
not-known = unbekannt
somebody = jemand auf diesem Rechner
user-unknown = Benutzer unbekannt
process-pid = { $name } (PID { $pid })
sentence = { $program } von Benutzer { $user } { $arrow } { $endpoint }
endpoint-port = { $remote } { $protocol } Port { $port }
endpoint-protocol = { $remote } { $protocol }
endpoint-and-others = { $first }{ $others ->
    [0] , und wohin auch sonst
    [one] {" "}und 1 weiterer Ort
   *[other] {" "}und { $others } weitere Orte
}

## Spaltentitel

column-time = Zeit
column-what = Was
column-way = Weg
column-protocol = Protokoll
column-ends = Quelle -> Ziel
column-rule = Regel
column-program = Programm
column-last = Zuletzt
column-first = Zuerst
column-times = Anzahl
column-endpoint = Gegenstelle
column-other-end = Gegenstelle
column-user = Benutzer
column-records = Einträge
column-sent = Gesendet
column-received = Empfangen
column-allowed = Erlaubt
column-refused = Abgewiesen
column-asked = Nachgefragt
column-action = Aktion
column-takes = Betrifft
column-hits = Treffer
column-remarks = Bemerkungen
column-holds = Gilt
column-by = Von
column-when = Wann
column-set = Menge
column-from = Herkunft
column-entries = Einträge
column-joined = Aufgenommen
column-changed = Geändert
column-asked-for-by = Benutzt von
column-network = Netz
column-known-by = Erkannt an
column-now = Jetzt
column-on = An
column-off = Aus

by-program = Programm
by-name = Name
by-rule = Regel
by-user = Benutzer
by-endpoint = Gegenstelle

## Was die Regeln fragen, und Antworten

choice-allow = erlauben
choice-block = blockieren
choice-connection = diese Verbindung
choice-minutes = 10 Minuten
choice-process = bis das Programm endet
choice-restart = bis der Dienst neu startet
choice-always = immer
choice-endpoint = diese Gegenstelle
choice-address = diese Adresse
choice-port = diesen Port
choice-everywhere = alles
choice-mute = eine Stunde lang nicht mehr nach diesem Programm fragen
question-of-link = eine link-lokale Adresse hat in jedem Netz ein anderer Rechner, und eine Antwort kennt kein Netz: keine, die erlaubt, gilt lange; eine Regel mit Schnittstelle schon

asked-by-rule = Regel „{ $rule }“ fragt
asked-by-number = Regel Nummer { $number } ihrer Generation fragt, deren Name hier nicht bekannt ist
asked-by-default = die Vorgabe fragt
asked-packets = { $by }; Pakete: { $packets }
asked-more = { $asked }; { $more ->
    [one] 1 weitere Frage dieses Programms wartet
   *[other] { $more } weitere Fragen dieses Programms warten
} dahinter
unanswered-in = { $verdict } in { $seconds } s

about-address = { $remote }, gleich welcher Port
about-port = { $protocol } Port { $port }, gleich welche Adresse
about-protocol = { $protocol }, gleich welche Adresse
about-anything = gleich welche Adresse und welcher Port
about-listed = { $count ->
    [one] der aufgezählte Ort
   *[other] die { $count } aufgezählten Orte
}
about-listed-addresses = { $count ->
    [one] die aufgezählte Adresse, gleich welcher Port
   *[other] die { $count } aufgezählten Adressen, gleich welcher Port
}
about-listed-ports = { $count ->
    [one] der aufgezählte Port, gleich welche Adresse
   *[other] die Ports der { $count } aufgezählten Orte, gleich welche Adresse
}
lasts-connection = nur für diese Verbindung
lasts-process = bis Prozess { $pid } endet
lasts-minutes = { $count ->
    [one] 1 Minute lang
   *[other] { $count } Minuten lang
}
lasts-seconds = { $seconds } s lang
lasts-restart = bis der Dienst neu startet
lasts-always = immer
answer-given = { $verdict }, { $lasts }: { $about }

held-anywhere = überall
held-any-address = jede Adresse, { $what }
held-any-port = { $remote }, jeder Port
held-protocol = Protokoll { $number }
held-port = Port { $port }
held-one-connection = für eine Verbindung
held-always-later = immer, sobald das Programm da ist
held-always-of-link = immer, aber nicht in Kraft: diese Adresse hat in jedem Netz ein anderer Rechner
held-left = noch { $seconds } s
held-until-left = { $until }, noch { $seconds } s
held-by = von { $who }
held-by-nobody = niemand hat rechtzeitig geantwortet
held-by-unknown = wer geantwortet hat, ist nicht mehr bekannt

## Wie es dem Dienst geht

status-title = gatebelld { $version }, Prozess { $pid }, Laufzeit { $age }; Schnittstellenversion { $contract }
status-rules = Regeln
status-lease = auf Probe
status-zone = Zone
status-devices = Schnittstellen
status-memory = Speicher
status-history = Verlauf
status-network = Netz
status-list = Liste
status-gone = ohne Dienst
status-start = Start
status-adopted = hat übernommen, was ein früherer Dienst im Kernel hinterlassen hatte: kein Paket blieb unbeurteilt
status-no-devices = noch keine
status-devices-judged = { $devices }: im IP-Stack beurteilt, beim Empfangen, Senden und Weiterleiten, und in der Control-Group danach, wer an diesem Ende ist
status-in-force = Generation { $generation }: { $count ->
    [one] 1 Regel
   *[other] { $count } Regeln
}{ $from }
status-of-file = {" "}aus { $file }
status-of-kernel = , im Kernel vorgefunden, aus keiner Datei
status-on-lease = Generation { $generation } gilt noch { $left }, dann kehrt Generation { $fallback } von selbst zurück; `gatebell rules confirm { $generation }` behält sie, `gatebell rules revert { $generation }` nimmt sie sofort zurück
status-zone-netns = Netzwerk-Namensraum { $netns }, Control-Group { $group }
status-zone-own = Netzwerk-Namensraum des Dienstes, Control-Group { $group }
memory-tables = { $size } Tabellen
memory-rules = { $size } Regeln
memory-sets = { $size } Mengen
memory-rings = { $size } Ringe von Programmen
memory-let-go = { $size } freigegebene, noch eingeblendete Ringe
memory-kernel = { $used } von { $budget } im Kernel: { $parts }
history-none = Es wird nichts aufbewahrt.
history-kept = { $used } von { $budget } auf der Platte, { $days ->
    [one] 1 Tag
   *[other] { $days } Tage
}; { $kept ->
    [one] 1 Eintrag
   *[other] { $kept } Einträge
} aufbewahrt, { $lost } seit dem Start verloren
history-put-aside = { $history }; ein nicht lesbarer Verlauf liegt daneben
network-there = da
network-away = nicht da
network-unknown = nicht bekannt
network-seen = { $name }: { $presence }: { $why }
network-on = { $network }; an: { $rules }
network-off = { $network }; aus: { $rules }
network-blocks = { $network }; blockiert, bis es bekannt ist: { $rules }
list-entries = @{ $set }: { $count ->
    [one] 1 Eintrag
   *[other] { $grouped } Einträge
}
list-of = , Stand { $time }
list-added = , { $number } hinzugekommen
list-removed = , { $number } weggefallen
list-unreadable = , { $number } nicht lesbar
list-every = { $list }; { $url }, alle { $time }
list-failed = { $list }; der letzte Versuch schlug fehl: { $why }
gone-open = Endet der Dienst, darf alles durch; der Kernel hält das fest in { $pins }, `gatebell recover` entfernt alles
gone-closed = Endet der Dienst, darf nichts durch; der Kernel hält das fest in { $pins }, `gatebell recover` entfernt alles
gone-static = Endet der Dienst, gelten die Regeln weiter; der Kernel hält sie in { $pins }, `gatebell recover` entfernt alles
time-seconds = { $seconds } s
time-minutes = { $minutes } min
time-hours = { $hours } h { $minutes } min
time-days = { $days ->
    [one] 1 Tag
   *[other] { $days } Tage
}
size-bytes = { $count ->
    [one] 1 Byte
   *[other] { $count } Bytes
}

## Ein Filter, der nicht stimmt

filter-wrong = Zeichen { $column }: { $what }
filter-no-value = nach { $key } fehlt, wonach gefiltert werden soll
filter-direction = möglich sind in, out und forward, aus Sicht dessen, was geschützt wird
filter-verdict = möglich sind allow, block, reject und ask
filter-port = ein Port ist eine Zahl bis 65535
filter-user = ein Benutzer ist eine Zahl; `id -u NAME` nennt sie
filter-interface = eine Schnittstelle heißt zum Beispiel eth0; wg* sind alle, deren Namen so beginnen
filter-since = Zeiten sind so geschrieben: 60s, 10m, 24h oder 7d
filter-not-kept = über welche Schnittstelle etwas ging, wird nicht aufbewahrt; danach filtert die Seite „Live“
filter-unknown = nach { $key } lässt sich nicht filtern; möglich sind { $keys }

## Was eine Regel betrifft

takes-everything = alles
takes-from = von { $ends }
takes-to = an { $ends }
takes-port = Port { $ports }
takes-user = Benutzer { $user }
takes-nobody = { $name } (niemand bekannt)
takes-on = über { $device }
takes-out-by = weiter über { $device }
takes-at = in { $networks }
takes-not-at = nicht in { $networks }

## Der Rahmen des Fensters

tab-live = Live
tab-programs = Programme
tab-history = Verlauf
tab-rules = Regeln
tab-answers = Antworten
tab-sets = Mengen
tab-networks = Netze
tab-status = Status
tab-keys = Strg+{ $number }
foot-no-counters = noch keine Zähler
foot-driver = Treiber: angeboten { $offered }, geschrieben { $committed }
foot-lost = verloren { $lost }
foot-app = Fenster: erhalten { $delivered }, im Ring { $waiting }
foot-questions = Fragen: { $why }
asking-firewall = Die Firewall wird gefragt …
no-service-here = Auf diesem System gibt es keinen Dienst, der gefragt werden könnte.
goes-on-by-itself = Dieses Fenster fragt erneut und fährt von selbst fort.
lease-runs = Generation { $generation } gilt auf Probe: in { $seconds } s kehrt Generation { $fallback } von selbst zurück.
lease-keep = Behalten
lease-return = Jetzt zurücknehmen
close = Schließen
copy = Kopieren
copy-row = Zeile kopieren
copy-command = Befehl kopieren
done = Fertig
undo = Rückgängig
order-by = Ordnen nach { $column }
no-window = Es lässt sich kein Fenster zeigen: { $why }; im Terminal geht es ohne
not-told-by = { $device } lässt sich nicht lesen

## Der Filter

filter = Filter
filter-hint = curl, program:/usr/bin/curl verdict:block …
filter-help = Wörter, die irgendwo stehen, und wonach gatebell watch filtert: direction: verdict: address: rule: program: name: port: user: interface: since:

## Live

live-pause = Pause
live-together = Gruppieren
live-together-help = Eine Zeile je Programm und Gegenstelle, mit der Anzahl
live-counts = { $all ->
    [one] 1 Zeile
   *[other] { $all } Zeilen
}
live-counts-shown = { $shown } von { $all ->
    [one] 1 Zeile
   *[other] { $all } Zeilen
}
live-dropped = { $counts }, { $dropped } ältere entfallen
live-paused = { $counts }; Pause, seither { $since } weitere
contact-details = { $program }: { $endpoint }: { $verdict }. { $news }
live-group = { $words }: { $times ->
    [one] einmal
   *[other] { $times } Mal
}, zuletzt { $last }
folded = { $words }, eingeklappt

## Was auf einen Klick in eine Datei geschrieben wird

save-as = Als { $format } speichern
save-written = Geschrieben: { $file }
save-not-written = Es wurde nichts geschrieben: { $why }
save-cannot = { $file } lässt sich nicht schreiben: { $why }; bitte beheben und erneut speichern
save-full = { $folder } ist voll von solchen Dateien: bitte einige löschen und erneut speichern

## Warum ein Paket abgewiesen oder erlaubt wurde, und die Regel, die anders entscheidet

why-allowed = Erlaubt { $by } (Generation { $generation }): { $ends }
why-refused = Abgewiesen { $by } (Generation { $generation }): { $ends }
why-rejected = Abgelehnt { $by } (Generation { $generation }): { $ends }
why-asked = Nachgefragt, denn { $asks } (Generation { $generation }): { $ends }
why-answer = durch eine Antwort, die sich auf der Seite „Antworten“ zurücknehmen lässt, denn { $asks }
why-unanswered = mangels rechtzeitiger Antwort, denn { $asks }
why-by-rule = durch Regel „{ $rule }“, Zeile { $line } der Regeldatei
why-by-number = durch Regel Nummer { $number } ihrer Generation, deren Name hier nicht bekannt ist
why-malformed = wegen Kopfdaten, die abgeschnitten oder widersprüchlich sind oder über das angegebene Ziel hinausführen
why-reply = als Antwort auf etwas, das erlaubt war
why-link = als Paket des Kernels selbst, das in seinem Netzsegment bleibt
why-fail-mode = nach dem, was die Regeldatei für den Fall vorsieht, dass der Dienst beendet ist
why-fragment = durch die Vorgabe: keine Regel betraf das spätere Fragment, das keine Ports zeigt
why-default-in = durch die Vorgabe für eingehende Pakete: keine Regel traf zu
why-default-out = durch die Vorgabe für ausgehende Pakete: keine Regel traf zu
why-default-forward = durch die Vorgabe für weitergeleitete Pakete: keine Regel traf zu
no-rule-reply = Es gehört zu einer Verbindung, die erlaubt war: bitte das Paket wählen, mit dem sie begann.
no-rule-malformed = Keine Regel kann es erlauben: seine Kopfdaten sind abgeschnitten, widersprechen sich oder führen über das angegebene Ziel hinaus, und niemand kann sagen, unter welche Regel es fiele.
no-rule-fail-mode = Keine Regel kann es erlauben, solange der Dienst beendet ist: bis dahin entscheidet `fail_mode` in der Regeldatei. Den Dienst wieder starten: sudo systemctl start gatebell
place-above-rule = vor Regel „{ $rule }“ (Zeile { $line })
place-above-number = vor Regel Nummer { $number } der Generation { $generation }, deren Name hier nicht bekannt ist; vor allen anderen Regeln ist immer richtig
place-anywhere = irgendwo unter den Regeln
place-taking-rule = vor der Regel, unter die es jetzt fällt
place-first = vor allen anderen Regeln
place-last = nach allen anderen Regeln: noch fällt es unter keine
place-before = vor Regel „{ $rule }“, unter die es jetzt fällt
place-after = nach Regel „{ $rule }“
allow-this = Dies erlauben
block-this = Dies blockieren
as-this-rule = als diese Regel, { $place }:
into-the-file = Hier nimmt kein Dienst Änderungen per Klick an; bitte in die Regeldatei schreiben, { $place }:
wish-of = für
wish-about = betrifft
who-program = dieses Programm ({ $path })
who-user = Benutzer { $user }
who-anyone = alle
reach-port = { $protocol } Port { $port }
reach-from = von { $address }, { $what }
reach-to = an { $address }, { $what }
reach-from-any-port = von { $address }, gleich welcher Port
reach-to-any-port = an { $address }, gleich welcher Port
reach-any-address = { $what }, gleich welche Adresse
reach-anything = gleich welche Adresse und welcher Port
reach-between = zwischen diesen beiden Adressen, { $what }
reach-between-any-port = zwischen diesen beiden Adressen, gleich welcher Port
reach-any-addresses = { $what }, gleich welche Adressen

## Was aus einer Änderung wurde

change-waits = Warten auf die Berechtigung … { $seconds } s
change-refused = Es wurde nichts geändert. { $why }
change-as-root = Als root:
change-in-force-rule = In Kraft als Regel { $rule } (Generation { $generation })
change-in-force = In Kraft: { $what } (Generation { $generation })
change-rule-back = Regel { $rule } ist zurückgenommen (Generation { $generation })
change-back = Zurückgenommen: { $what } (Generation { $generation })
change-tried = Auf Probe: { $what } (Generation { $generation })
change-kept = Generation { $generation } bleibt in Kraft
change-returned = Generation { $generation } ist zurück
change-add = { $rule } hinzufügen
change-enable = { $rule } einschalten
change-disable = { $rule } ausschalten
change-move = { $rule } verschieben
change-remove = { $rule } entfernen
change-edit = { $rule } bearbeiten
change-replaced = In diesem Augenblick ändert jemand anderes die Regeln, und es wurde nichts geändert; bitte erneut versuchen.
change-patience = Die Firewall hat zwei Minuten lang nicht geantwortet: vielleicht hat niemand die Berechtigung erteilt. Bitte nachsehen, was in Kraft ist, und erneut versuchen: gatebell rules show
change-by-others = Andere haben die Regeln seit „{ $what }“ geändert, und ein Zurücknehmen nähme auch deren Änderungen zurück. Was von wem geändert wurde: sudo gatebell rules log
draft-allowed-already = Die geltenden Regeln erlauben es bereits.
draft-blocked-already = Die geltenden Regeln blockieren es bereits.
draft-other-program = Keine solche Regel entscheidet über dieses Paket: sein Programm ist nicht die Datei, die jetzt diesen Pfad hat. Bitte etwas anderes als dieses Programm wählen.
edit-nothing-changes = Es ändert sich nichts: Regel „{ $rule }“ ist bereits so.
edit-rule-gone = Regel „{ $rule }“ ist nicht mehr unter den geltenden Regeln.
edit-is-first = Es ist die erste Regel.
edit-is-last = Es ist die letzte Regel.
edit-wrong = Zeile { $line }, Zeichen { $column }: { $what }
answers-none-held = Keine solche Antwort galt noch
answers-taken-back = { $count ->
    [one] Zurückgenommen: danach wird wieder gefragt
   *[other] { $count } zurückgenommen: danach wird wieder gefragt
}
set-joined = { $address } ist in { $set }, bis sie entfernt wird
set-joined-for = { $address } ist { $minutes } min lang in { $set }
set-left = { $address } ist nicht mehr in { $set }
set-stays = { $address } ist trotzdem in { $set }: sie steht so in der Regeldatei

## Warum der Dienst nicht gefragt werden kann

failed-not-running = gatebelld läuft nicht; starten mit `sudo systemctl start gatebell`
failed-not-allowed = Dieser Benutzer darf die Firewall nicht fragen; bitte als root ausführen oder von root in die Gruppe gatebell aufnehmen lassen: `sudo usermod -aG gatebell $USER`, danach neu anmelden
failed-hung-up = gatebelld hat aufgelegt; ob er beendet ist, sagt `systemctl status gatebell`, sonst bitte langsamer fragen
failed-system = gatebelld lässt sich nicht fragen: { $why }; wie es ihm geht, sagt `systemctl status gatebell`
failed-misfit = gatebelld antwortet { $what }; bitte dieselbe Version von gatebell und gatebelld installieren und ihn neu starten
refused-no-lease = Es läuft keine Probezeit; `gatebell rules apply --lease` beginnt eine.
refused-lease-over = Die Probezeit ist vorbei, und die bestätigten Regeln gelten wieder; bitte von Neuem anwenden.
refused-rules-replaced = Jemand anderes hat die Regeln inzwischen geändert, und jetzt wurde nichts geändert; bitte noch einmal.
refused-no-question = Diese Frage wartet nicht mehr: Sie wurde beantwortet, oder ihre Zeit ist um. `gatebell ask --list` zeigt die, die warten.
rules-no-text = Der Dienst hat die Regeln im Kernel vorgefunden und ihren Text nicht; bitte eine Regeldatei anwenden: gatebell rules apply DATEI
rules-on-lease = Es gelten Regeln auf Probe; es wurde nichts geändert: bitte sie zuerst behalten oder zurücknehmen, `gatebell rules confirm` oder `gatebell rules revert`
rules-unreadable = Dieses Fenster kann die geltenden Regeln nicht lesen; vielleicht ist es von einer anderen Version als der Dienst: bitte dieselbe installieren.
rules-changed-by-hand = { $file } wurde geändert und gilt so noch nicht; an den geltenden Regeln wurde nichts geändert: bitte nachsehen, was anders ist, `gatebell rules show --text | diff - { $file_word }`, und die Datei dann in Kraft setzen, `sudo systemctl reload gatebell`, oder die Änderung wieder herausnehmen

## Karte, Benachrichtigung und Symbolleiste

card-may-come-in = Darf dies herein?
card-may-go-out = Darf dies hinaus?
card-one-of = 1 von { $all ->
    [one] 1 Frage
   *[other] { $all } Fragen
}
card-unanswered = ohne Antwort: { $what }
card-on-its-way = Die Antwort ist unterwegs.
card-answer = Antwort
card-how-long = wie lange
card-about = betrifft
card-give = Antworten (Eingabe)
card-leave = Offen lassen
card-choose-first = zuerst wählen: A erlaubt, B blockiert
card-keys-are-filters = die Tasten gehören dem Filter; Esc verlässt ihn
card-how = A oder B, dann Eingabe
card-left = { $left } von { $all ->
    [one] 1 Frage
   *[other] { $all } Fragen
} offen gelassen
card-show-again = Wieder zeigen
card-program = Programm
card-process = Prozess
card-wants = will
card-why = Grund
card-note = Hinweis
card-places = aufgezählt
card-mute = Nicht mehr fragen
card-user = Benutzer { $user }
card-process-user = { $process }, { $user }
card-in-from = herein, von { $endpoint }
card-out-to = hinaus, an { $endpoint }
card-given = { $program }: { $answer }
card-answered = beantwortet: { $answer }
card-not-answered = nicht beantwortet ({ $answer }): { $why }
card-keyed = { $words } ({ $key })
notice-may-come-in = Gatebell: Darf dies herein?
notice-may-go-out = Gatebell: Darf dies hinaus?
notice-asks = { $question }
    ohne Antwort: { $unanswered }
notice-more = { $asked }; { $more ->
    [one] 1 weitere wartet
   *[other] { $more } weitere warten
}
notice-not-answered = Gatebell: nicht beantwortet
notice-open = Fenster öffnen
notice-allow = 10 Minuten lang erlauben
notice-block = 10 Minuten lang blockieren
notice-trouble = Die Arbeitsumgebung zeigt keine Benachrichtigungen über Fragen: { $why }
tray-nothing = Es gibt keine Fragen.
tray-waiting = { $count ->
    [one] Eine Frage wartet auf Ihre Antwort.
   *[other] { $count } Fragen warten auf Ihre Antwort.
}

## Was war: Programme und Verlauf

past-last = Zeitraum
since-hour = Stunde
since-day = Tag
since-week = Woche
since-all = alles Aufbewahrte
past-reading = Das Aufbewahrte wird gelesen …
past-left-out = Es wurde mehr aufbewahrt, als hier gezeigt wird: { $count ->
    [one] 1 ältere Zeile fehlt
   *[other] { $count } ältere Zeilen fehlen
}. Alles: gatebell history
past-unread = { $count ->
    [one] 1 Zeile ist nicht lesbar und fehlt
   *[other] { $count } Zeilen sind nicht lesbar und fehlen
}: vielleicht hat sie eine spätere Version geschrieben
past-not-kept = Es wird nichts aufbewahrt: gatebelld wurde mit --history-days 0 gestartet.
past-filtered = Nichts, was aus dieser Zeit aufbewahrt wurde, entspricht dem Filter.
past-nothing = Aus dieser Zeit wurde nichts aufbewahrt. Was Ihre eigenen Programme tun, erscheint hier, sobald sie mit anderen sprechen; was die Programme anderer tun, sieht nur root: sudo gatebell history
past-ends-not-kept = Die eigene Adresse, der eigene Port und die Schnittstelle werden nicht aufbewahrt: Regeln, die danach fragen, können anders entscheiden.
past-unknown-way = Diese Version weiß nicht, in welche Richtung es ging.
past-many-endpoints = Dies sind viele Gegenstellen, zusammen gezählt: keine davon ist einzeln aufbewahrt. Die Seite „Live“ zeigt jede, sobald sie vorkommt.
past-no-ports = Bei Protokollen ohne Ports wird nicht aufbewahrt, wonach gefragt wurde. Bitte das Paket auf der Seite „Live“ wählen, sobald es vorkommt.
last-allowed = erlaubt { $by }
last-asked = nachgefragt { $by }
last-refused = abgewiesen { $by }
last-by-rule = durch Regel „{ $rule }“
last-by-default = durch die Vorgabe
last-by-answer = durch eine Antwort
last-by-nobody = mangels rechtzeitiger Antwort
chart-carried-minute = Übertragen je Minute: höchstens { $size }; unten die abgewiesenen: höchstens { $refused }
chart-carried-hour = Übertragen je Stunde: höchstens { $size }; unten die abgewiesenen: höchstens { $refused }
chart-carried-day = Übertragen je Tag (UTC): höchstens { $size }; unten die abgewiesenen: höchstens { $refused }
chart-allowed-minute = Erlaubt je Minute: höchstens { $allowed }; unten die abgewiesenen: höchstens { $refused }
chart-allowed-hour = Erlaubt je Stunde: höchstens { $allowed }; unten die abgewiesenen: höchstens { $refused }
chart-allowed-day = Erlaubt je Tag (UTC): höchstens { $allowed }; unten die abgewiesenen: höchstens { $refused }
chart-bar = { $time }: { $size }, erlaubt { $allowed }, abgewiesen { $refused }
chart-whole-minute = Nach Minuten, { $bars } davon; am meisten um { $most }
chart-whole-hour = Nach Stunden, { $bars } davon; am meisten um { $most }
chart-whole-day = Nach Tagen (UTC), { $bars } davon; am meisten am { $most }
programs-endpoints = { $program }, { $count ->
    [one] 1 Gegenstelle
   *[other] { $count } Gegenstellen
}
programs-contact = { $program }, { $mark }
programs-new = neu
programs-changed = geändert
programs-first-ever = Am { $time } hat es zum allerersten Mal kommuniziert.
programs-file-changed = Seine Datei ist eine andere als früher; am { $time } hat es wieder kommuniziert.
programs-facts = { $sent } gesendet, { $received } empfangen; zuerst { $first }, zuletzt { $last }: { $verdict }
history-by = Zusammenfassen nach
history-by-nothing = nichts
history-row = { $program }: { $verdict }, { $count ->
    [one] einmal
   *[other] { $count } Mal
} von { $first } bis { $last }

## Regeln

rules-default = Vorgabe
rules-off = aus
rules-none = { $file } enthält keine Regeln: es entscheiden die Vorgaben. Für die erste Regel bitte auf der Seite „Live“ ein Paket wählen.
rules-title = { $rule }: { $action }, { $takes }
rules-put = In Kraft setzen
rules-try = { $seconds } s lang erproben
rules-asking-file = Es wird ermittelt, was aus der Datei wird …
rules-no-click = Hier nimmt kein Dienst Änderungen per Klick an.
rules-text = Der Text der Regel
rules-then = danach: { $warning }
rules-compared-here = Beurteilt wie in dem Netz, in dem dieser Rechner jetzt ist: Regeln für andere Netze sind aus.
rules-compared-none = { $told ->
    [one] Der eine Eintrag der letzten Woche würde nicht anders entschieden.
   *[other] Keiner der { $told } Einträge der letzten Woche würde anders entschieden.
}
rules-compared-some = { $told ->
    [one] Der eine Eintrag der letzten Woche würde anders entschieden:
   *[other] Von den { $told } Einträgen der letzten Woche würden anders entschieden:
}
rules-compared-none-untold = { $told ->
    [one] Der eine Eintrag der letzten Woche würde nicht anders entschieden
   *[other] Keiner der { $told } Einträge der letzten Woche würde anders entschieden
} (über { $untold ->
    [one] 1 weiteren
   *[other] { $untold } weitere
} ist zu wenig aufbewahrt).
rules-compared-some-untold = { $told ->
    [one] Der eine Eintrag der letzten Woche würde anders entschieden
   *[other] Von den { $told } Einträgen der letzten Woche würden anders entschieden
} (über { $untold ->
    [one] 1 weiteren
   *[other] { $untold } weitere
} ist zu wenig aufbewahrt):
rules-otherwise = { $what }: vorher { $before }, danach { $after } ({ $count ->
    [one] einmal
   *[other] { $count } Mal
})
rules-others = { $count ->
    [one] und noch eines
   *[other] und noch { $count }
}
rules-row = { $number } { $rule }: { $action }, { $takes }, Treffer { $hits }, { $remarks }
rules-row-last = { $number } { $rule }: { $action }, { $takes }, Treffer { $hits }, zuletzt { $last }, { $remarks }
rules-disabled = ausgeschaltet
rules-elsewhere = in diesem Netz aus
rules-blocks = blockiert, ohne zu fragen, bis bekannt ist, welches Netz dies ist
rules-covered = trifft nie zu: eine Regel davor erfasst das alles schon
rules-reported = wird gemeldet
rules-not-reported = wird nicht gemeldet
rules-default-takes = { $way }: alles, was unter keine Regel fällt
rules-default-row = Vorgabe, { $way }: { $action }, { $remarks }
rules-enable = einschalten
rules-disable = ausschalten
rules-move-up = nach oben
rules-move-down = nach unten
rules-remove = entfernen
rules-edit = bearbeiten

## Antworten

answers-none = Es gilt keine Antwort. Wo eine Regel oder eine Vorgabe fragt (action = "ask"), erscheint eine Frage in diesem Fenster und als Benachrichtigung; was Sie antworten, steht dann hier und lässt sich zurücknehmen. Antworten anderer sieht nur root: sudo gatebell answers
answers-title = { $outcome }: { $what }
answers-facts = { $lasts }; { $by }
answers-take-back = Zurücknehmen
answers-take-back-all = { $count ->
    [one] Die eine dieses Programms zurücknehmen
   *[other] Alle { $count } dieses Programms zurücknehmen
}
answers-asked-again = Nach dem, was zurückgenommen ist, wird beim nächsten Mal wieder gefragt.
answers-row = { $outcome } { $what }: { $lasts }, { $by }

## Mengen

sets-hour = für eine Stunde
sets-day = für einen Tag
sets-always = bis sie entfernt wird
sets-none = { $file } enthält keine Mengen. Eine Menge sind Adressen unter einem Namen: dort aufgeschrieben, in einer eigenen Datei wie einer Sperrliste, oder durch ihre Namen bekannt: [[set]] mit id und addresses, file oder names; Regeln fragen nach ihr mit "@id".
sets-many = { $joined } wurden aufgenommen; hier stehen die letzten { $shown }, alle nennt: gatebell set list { $set_word }
sets-address = Adresse
sets-join = Aufnehmen
sets-title = { $set }: { $count ->
    [one] 1 Eintrag
   *[other] { $grouped } Einträge
}, Herkunft { $from }; { $asked }
sets-asked-for = benutzt von { $rules }
sets-not-asked-for = von keiner Regel benutzt
sets-remove = Entfernen
sets-remove-this = { $address } entfernen
sets-left = noch { $seconds } s
sets-member = { $address }, { $lasts }
sets-member-by = { $address }, { $lasts }, { $name }
sets-row = { $set }: { $count ->
    [one] 1 Eintrag
   *[other] { $grouped } Einträge
}, Herkunft { $from }, { $joined } aufgenommen, benutzt von { $rules }, { $remarks }
sets-remarks = { $count ->
    [one] 1 Bemerkung zu ihren Einträgen
   *[other] { $count } Bemerkungen zu ihren Einträgen
}
sets-line = Zeile { $line }: { $what }
sets-rule-file = Regeldatei

## Netze

networks-none = In { $file } steht noch kein Netz. Regeln lassen sich auf Netze beschränken, etwa auf das zu Hause: dazu in die Datei ein [[network]] schreiben, mit id und dem, woran es erkannt wird (interface, ssid, connection, gateway, gateway_hardware), und network = "seine id" in jede Regel, die nur dort an sein soll. Hier ist dieser Rechner jetzt:
networks-route = Standardroute:
networks-no-route = Es gibt jetzt keine Standardroute: woran ein Netz erkannt wird, steht hier, sobald es eine gibt.
networks-copy = Als Netz kopieren
networks-copy-this = Die Standardroute { $route } als Netz kopieren
networks-row = { $network }: { $presence }, erkannt an { $keys }, an: { $on }, aus: { $off }, { $remarks }
networks-row-elsewhere = { $name }: { $means }
networks-no-rule = keine Regel
networks-in-none = angenommen: in keinem
networks-in-none-means = Es gibt eine Standardroute, aber durch keines dieser Netze.
networks-unknown = angenommen: nicht bekannt
networks-unknown-means = Es gibt keine Standardroute, oder ihr Gateway hat sich noch nicht gemeldet.
networks-blocking = blockiert, bis es bekannt ist: { $rules }
networks-late = die Regeln sind noch nicht umgeschaltet
networks-safe-side = Was nicht bekannt ist, öffnet nichts: eine Regel, die erlaubt, ist aus, eine, die fragt, blockiert, jede andere ist an.
networks-not-asked-for = Keine Regel fragt nach einem Netz.
networks-as-if = Wäre dieser Rechner in { $network } und in keinem anderen dieser Netze:
networks-as-here = Wäre dieser Rechner in { $network } und in keinem anderen dieser Netze, wäre jede Regel, wie sie jetzt ist.
networks-as-otherwise = Wäre es so:
networks-as-now = Wäre es so, wäre jede Regel, wie sie jetzt ist.
networks-switched = { $rule }: jetzt { $now }, dann { $then }
networks-rule-on = an
networks-rule-off = aus
networks-rule-blocks = blockiert

## Status

status-how = Wie es steht
status-well = Alles in Ordnung.
status-service = Dienst
status-kernel = Kernel
status-packets = Pakete
status-judged = Pakete
status-judged-way = { $way } { $judged } = { $allowed } erlaubt + { $refused } abgewiesen
status-judged-left = { $counted } + { $left }, die niemand angenommen hat
status-told = Was Programmen gemeldet wurde
status-balances = Jeder Eintrag ist verbucht: was angeboten wurde, wurde geschrieben oder ging verloren.
status-no-balance = Die Bücher stimmen in diesem Augenblick nicht; bleibt es dabei, bitte melden: gatebell audit
status-app = Prozess { $pid }
status-app-lies = { $counted }; er sagt über seinen Ring, was nicht sein kann: bitte beenden
status-past = frühere
status-allowed = erlaubt
status-refused = abgewiesen
status-connects = Verbindungsversuche
status-connects-refused = { $refused } sofort abgewiesen, noch vor dem ersten Paket
status-nobody = an niemanden
status-left-in = { $count ->
    [one] 1 Paket, das niemand annahm
   *[other] { $count } Pakete, die niemand annahm
}: meist probiert jemand Ports, die hier niemand hat
status-rejected = abgelehnt
status-rejects = benachrichtigte Absender: { $answered }; zu viele, um sie zu benachrichtigen: { $untold }; fehlgeschlagene Antworten: { $failed }
status-names = Namen
status-names-unread = { $count ->
    [one] 1 DNS-Antwort fand keinen Platz oder war nicht lesbar: wovon sie sprach, hat keinen Namen
   *[other] { $count } DNS-Antworten fanden keinen Platz oder waren nicht lesbar: wovon sie sprachen, hat keinen Namen
}
status-names-joined-none = { $count ->
    [one] einmal wurde einer DNS-Antwort nicht geglaubt oder kam eine Adresse daraus in keine Menge mit Namen: niemand hatte sichtbar gefragt, die Antworten ihres Resolvers zählen dort nicht, die Menge lässt die Adresse aus, oder es fehlte Platz
   *[other] { $count }-mal wurde einer DNS-Antwort nicht geglaubt oder kam eine Adresse daraus in keine Menge mit Namen: niemand hatte sichtbar gefragt, die Antworten ihres Resolvers zählen dort nicht, die Menge lässt die Adresse aus, oder es fehlte Platz
}
status-connections = Verbindungen
status-flows = { $flows } von { $most }
status-flows-full = { $flows } von { $most }; { $full ->
    [one] 1 Paket fand
   *[other] { $full } Pakete fanden
} keinen dauerhaften Platz, und neue Verbindungen können deren Einträge verdrängen: bitte beenden, was so viele öffnet
status-lost-no-room = { $lost } verloren, weil der Ring voll war
status-lost-closing = { $lost } beim Beenden verloren
status-lost-too-large = { $lost } verloren, weil größer als der Ring
status-lost-none = keine verloren
status-counted = { $count ->
    [one] 1 Eintrag
   *[other] { $count } Einträge
} angeboten, { $committed } geschrieben, { $lost }

## Was mit dem Dienst nicht stimmt; was er selbst davon sagt, ist Englisch

trouble-other = { $cause }: { $detail }
trouble-hooks = Dem Kernel fehlt ein Teil der Firewall, oder er lässt sich nicht prüfen; sie wird von selbst wieder eingesetzt. Im Einzelnen: { $detail }
trouble-stand-in = Beim Start war die Regeldatei nicht zu gebrauchen; es gilt etwas anderes, bis sie in Ordnung und neu gelesen ist (`sudo systemctl reload gatebell`). Im Einzelnen: { $detail }
trouble-rule-file = Die Regeldatei und das, was gilt, sind nicht dasselbe. Im Einzelnen: { $detail }
trouble-missing = Etwas, das die Regeln nennen, war nicht zu haben; was danach fragt, bleibt auf der sicheren Seite. Im Einzelnen: { $detail }
trouble-lease = Das Ende der Probezeit ist nicht so vor sich gegangen, wie es sollte. Im Einzelnen: { $detail }
trouble-rules = Was die Regeln nennen, hat sich geändert, und sie konnten nicht neu gefasst werden; die bisherigen gelten weiter. Im Einzelnen: { $detail }
trouble-networks = Der Rechner ist in einem anderen Netz, und die Regeln konnten nicht umgeschaltet werden. Im Einzelnen: { $detail }
trouble-routes = Dass der Rechner in einem anderen Netz ist, wird erst spät bemerkt. Im Einzelnen: { $detail }
trouble-programs = Ein Programm ist eine andere Datei, und die Regeln konnten nicht neu gefasst werden. Im Einzelnen: { $detail }
trouble-members = Welche Adressen in Mengen aufgenommen wurden, konnte dem Kernel nicht mitgeteilt werden. Im Einzelnen: { $detail }
trouble-asked-again = Bestehende Verbindungen konnten nicht von Neuem nach den Regeln beurteilt werden. Im Einzelnen: { $detail }
trouble-answers = Gegebene Antworten konnten dem Kernel nicht mitgeteilt werden. Im Einzelnen: { $detail }
trouble-answers-asked-again = Verbindungen, die eine zurückgenommene Antwort erlaubt hatte, konnten nicht von Neuem beurteilt werden. Im Einzelnen: { $detail }
trouble-sweep = Die Suche nach ungenutzten Verbindungen ist gescheitert; sie wird wiederholt. Im Einzelnen: { $detail }
trouble-rule-file-states = Frühere Stände der Regeldatei konnten nicht aufbewahrt werden. Im Einzelnen: { $detail }
trouble-answering = Wer dem Absender eines abgelehnten Pakets antwortet, konnte dem Kernel nicht mitgeteilt werden. Im Einzelnen: { $detail }
trouble-fallback = Die Ersatztabelle, die ohne den Treiber gilt, konnte nicht entfernt werden. Im Einzelnen: { $detail }
trouble-device-server = Programme können sich nicht anmelden, um Ereignisse zu empfangen. Im Einzelnen: { $detail }
trouble-lists = Abonnierte Listen werden nicht übernommen. Im Einzelnen: { $detail }
trouble-list-not-taken = Die abgerufene Liste der Menge „{ $set }“ wird nicht übernommen: { $detail }. Die letzte gute bleibt, falls es eine gibt, bis eine andere kommt oder `gatebell set refresh { $set_word } --take` sie so übernimmt, wie sie ist.
trouble-list-old = Die Liste der Menge „{ $set }“ ist alt, und die letzte gute bleibt: { $why }
trouble-program-files = Die Dateien der Programme können nicht beobachtet werden: ersetzte werden erst später bemerkt. Im Einzelnen: { $detail }
trouble-kept = Für den nächsten Start kann nicht alles aufbewahrt werden. Im Einzelnen: { $detail }
trouble-lost-members = Was in Mengen aufgenommen worden war, ist verloren gegangen. Im Einzelnen: { $detail }
trouble-answers-file = Die Datei der Antworten, die immer gelten, ist nicht in Ordnung. Im Einzelnen: { $detail }
trouble-state = Was der Dienst für seinen Nachfolger aufschreibt, konnte nicht geschrieben werden. Im Einzelnen: { $detail }
trouble-names = Namen von Adressen werden nicht mehr gelernt. Im Einzelnen: { $detail }
trouble-named-sets = Nicht jede Adresse kann in die Mengen aufgenommen werden, die ihren Namen nennen. Im Einzelnen: { $detail }
trouble-rejected = Abgelehntes wird blockiert, ohne dass der Absender es erfährt. Im Einzelnen: { $detail }
trouble-recorder = Was geschieht, kommt nicht in den Verlauf; es wird gezählt. Im Einzelnen: { $detail }
trouble-history-rows = Ein Teil des Verlaufs ist nicht zu lesen. Im Einzelnen: { $detail }
list-nobody-fetches = niemand ruft sie ab: `systemctl status gatebell-lists` sagt, warum
fetch-status = der Server antwortet { $detail }
fetch-no-end = der Server sagt nicht, wo sie endet, sodass sie unbemerkt abgeschnitten sein könnte
fetch-too-long = sie ist länger als { $detail }
fetch-too-slow = sie braucht länger als { $detail }
fetch-unknown-host = ihr Server ist nicht bekannt
fetch-redirects = sie verweist einmal zu oft anderswohin; höchstens { $detail }
fetch-without-tls = sie verweist auf eine Adresse ohne TLS
fetch-cut-off = sie endete vor der Zeit
fetch-not-written = sie kann nicht geschrieben werden: { $detail }
fetch-no-roots = niemand kann für ihren Server bürgen: { $detail }
fetch-other = { $kind }: { $detail }

## Woran ein Netz erkannt wird, oder warum es nicht da ist

sign-device = die Standardroute führt über { $device }
sign-gateway = die Standardroute führt über { $device }, Gateway { $gateway }
sign-hardware = die Standardroute führt über { $device }, Gateway { $gateway } mit { $hardware }
sign-ssid = { $device } ist im WLAN „{ $ssid }“
sign-other-ssid = { $device } ist im WLAN „{ $ssid }“, nicht { $asked }
sign-no-ssid = { $device } ist in keinem WLAN
sign-unknown-ssid = es ist nicht bekannt, in welchem WLAN { $device } ist
sign-connection = { $device } hat die Verbindung „{ $connection }“ des NetworkManagers
sign-other-connection = { $device } hat die Verbindung „{ $connection }“ des NetworkManagers, nicht { $asked }
sign-no-connection = { $device } hat keine Verbindung des NetworkManagers
sign-unknown-connection = der NetworkManager hat noch nicht gesagt, welche Verbindung { $device } hat
sign-unnamed-connection = von der Verbindung des NetworkManagers, die { $device } hat, ist der Name nicht bekannt, nur die UUID „{ $connection }“: den Namen nennt er, wenn sie das nächste Mal beginnt
sign-no-manager = der NetworkManager, der allein weiß, welche Verbindung { $device } hat, läuft nicht
sign-other-device = die Standardroute führt über { $device }, nicht { $asked }
sign-other-gateway = das Gateway über { $device } ist { $gateway }, nicht { $asked }
sign-other-hardware = das Gateway { $gateway } über { $device } hat { $hardware }, nicht { $asked }
sign-no-gateway = die Standardroute über { $device } hat kein Gateway
sign-no-hardware = das Gateway { $gateway } über { $device } hat keine Hardware-Adresse
sign-unknown-hardware = die Hardware-Adresse des Gateways { $gateway } über { $device } ist noch nicht bekannt
sign-no-route = es gibt keine Standardroute
sign-untold = der Kernel nennt seine Routen nicht: { $detail }
