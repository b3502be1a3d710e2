//! Page of the networks: by what each is known, whether it is there now, which rules are on and off for it, and what
//! they would be in another one.

use super::selection::{self, Selection};
use super::titled_table::TitledTable;
use super::{Around, Page, PageSource, instead, of_the_service, wide};
use crate::overview::{OverviewSeen, Part};
use crate::window::{colours, table_row};
use control::{NetworkStatus, RouteStatus};
use eframe::egui::{self, RichText, Ui};
use egui_extras::TableRow;
use rules::{Effect, NO_NETWORKS, Network, NetworkRules, Presence};
use view::entry::{clean, clean_lines};
use view::network::{known_by, route_keys, signs};
use view::status;
use view::text;

const WIDTHS: [f32; 5] = [150.0, 260.0, 112.0, 180.0, 180.0];
const TABLE: TitledTable = TitledTable {
    name: "networks",
    widths: &WIDTHS,
    follows: false,
};
/// Width below which the table is scrolled sideways.
const NEEDED: f32 = 1_132.0;
/// Height in which default routes are scrolled, of which there is one or two.
const ROUTES: f32 = 48.0;
/// State of the page.
#[derive(Debug, Default)]
pub struct NetworksPage {
    /// Network that is judged as if the machine were in it: its name, or one of [`NO_NETWORKS`].
    selection: Selection<String>,
}

impl Page for NetworksPage {
    fn name(&self) -> String {
        text!("tab-networks")
    }

    fn source(&self) -> PageSource {
        PageSource::Service(Part::Networks)
    }

    fn show(&mut self, ui: &mut Ui, around: &Around<'_>) {
        of_the_service(ui, around, |ui, seen| {
            if let Some(why) = &seen.rules.unreadable {
                egui::CentralPanel::default().show(ui, |ui| instead(ui, why));
            } else if seen.rules.networks.networks.is_empty() {
                egui::CentralPanel::default().show(ui, |ui| no_networks(ui, seen));
            } else {
                self.networks(ui, seen, around.asked);
            }
        });
    }
}

impl NetworksPage {
    fn networks(&mut self, ui: &mut Ui, seen: &OverviewSeen, asked: bool) {
        let networks = &seen.rules.networks.networks;
        let name = |row: usize| {
            let others = NO_NETWORKS.get(row.wrapping_sub(networks.len()));
            let network = networks.get(row).map(|network| network.id.as_str());
            network.or(others.copied()).map(str::to_owned)
        };
        let rows = networks.len() + NO_NETWORKS.len();
        let row_of = |id: &String| (0..rows).find(|row| name(*row).as_ref() == Some(id));
        // There is nothing here to be done by Enter.
        let _entered = self.selection.keys(ui, asked, rows, row_of, name);
        let selected = self.selection.get().cloned();
        match selected.filter(|id| row_of(id).is_some()) {
            Some(id) => selection::details(
                self,
                |page| &mut page.selection,
                ui,
                "network",
                |_, ui| details(ui, &id, seen),
            ),
            None => self.selection.clear(),
        }
        egui::CentralPanel::default().show(ui, |ui| {
            colours::bright(ui);
            routes(ui, seen);
            ui.add_space(4.0);
            wide(ui, NEEDED, |ui| {
                TABLE.with_titles(ui, rows, self.selection.sought(), &titles(), |mut row| {
                    self.row(&mut row, seen, &name)
                });
            });
        });
    }

    fn row(
        &mut self,
        row: &mut TableRow<'_, '_>,
        seen: &OverviewSeen,
        name: &impl Fn(usize) -> Option<String>,
    ) {
        let Some(id) = name(row.index()) else {
            return;
        };
        let selected = self.selection.is(&id);
        match seen.rules.networks.networks.get(row.index()) {
            Some(network) => network_cells(row, network, status_of(seen, &id), selected),
            None => elsewhere_cells(row, &id, selected),
        }
        if row.response().clicked() {
            self.selection.select(id, row.index());
        }
    }
}

/// Returns the service's state of a network.
fn status_of<'a>(seen: &'a OverviewSeen, id: &str) -> Option<&'a NetworkStatus> {
    let told = seen.networks.iter().flat_map(|all| &all.networks);
    let mut told = told.chain(&seen.status.networks);
    told.find(|network| network.name == id)
}

/// Shows what is to be known where no network is named, and the network that could be written.
fn no_networks(ui: &mut Ui, seen: &OverviewSeen) {
    colours::bright(ui);
    ui.add_space(16.0);
    let words = text!("networks-none", file = &seen.rules.file);
    ui.add(egui::Label::new(words).wrap());
    let scrolled = egui::ScrollArea::vertical().auto_shrink(false);
    scrolled.show(ui, |ui| {
        for route in seen.networks.iter().flat_map(|networks| &networks.routes) {
            let text = network_text(route, seen);
            ui.add_space(8.0);
            egui::Frame::group(ui.style()).show(ui, |ui| {
                let shown = RichText::new(clean_lines(&text)).monospace();
                ui.add(egui::Label::new(shown).wrap());
            });
            copy(ui, route, text);
        }
        no_route(ui, seen);
    });
}

/// Shows the default routes as they are now, each with what has a network be known by it.
fn routes(ui: &mut Ui, seen: &OverviewSeen) {
    let scrolled = egui::ScrollArea::vertical()
        .id_salt("routes")
        .max_height(ROUTES);
    scrolled.auto_shrink([false, true]).show(ui, |ui| {
        for route in seen.networks.iter().flat_map(|networks| &networks.routes) {
            ui.horizontal_wrapped(|ui| {
                copy(ui, route, network_text(route, seen));
                ui.label(text!("networks-route"));
                ui.label(RichText::new(clean(&route_keys(route).join("  "))).monospace());
            });
        }
        no_route(ui, seen);
    });
}

fn no_route(ui: &mut Ui, seen: &OverviewSeen) {
    if let Some(networks) = &seen.networks
        && networks.routes.is_empty()
    {
        ui.add(egui::Label::new(text!("networks-no-route")).wrap());
    }
}

fn copy(ui: &mut Ui, route: &RouteStatus, text: String) {
    let button = ui.button(text!("networks-copy"));
    let said = text!(
        "networks-copy-this",
        route = clean(&route_keys(route).join(", "))
    );
    button.widget_info(|| {
        egui::WidgetInfo::labeled(egui::accesskit::Role::Button, true, said.as_str())
    });
    if button.on_hover_text(clean_lines(&text)).clicked() {
        ui.ctx().copy_text(text);
    }
}

/// Returns the text of the network out of which this route leads, under a name that none has.
fn network_text(route: &RouteStatus, seen: &OverviewSeen) -> String {
    let networks = seen.rules.networks.networks.iter();
    let taken: Vec<_> = networks.map(|network| network.id.as_str()).collect();
    view::network::text(route, &taken)
}

fn titles() -> [String; 6] {
    [
        text!("column-network"),
        text!("column-known-by"),
        text!("column-now"),
        text!("column-on"),
        text!("column-off"),
        text!("column-remarks"),
    ]
}

fn network_cells(
    row: &mut TableRow<'_, '_>,
    network: &Network,
    status: Option<&NetworkStatus>,
    selected: bool,
) {
    let none = NetworkStatus::default();
    let status = status.unwrap_or(&none);
    let presence = Presence::named(&status.presence);
    let cells = [
        clean(&network.id),
        clean(&known_by(network)),
        status::presence(presence),
        status.on.join(", "),
        status.off.join(", "),
        remarks(network, status),
    ];
    let words = text!(
        "networks-row",
        network = &cells[0],
        presence = &cells[2],
        keys = &cells[1],
        on = or_none(&cells[3]),
        off = or_none(&cells[4]),
        remarks = &cells[5],
    );
    table_row(row, &cells, &words, selected, |ui, column| {
        match (column, presence) {
            (2, Presence::There) => Some(colours::allowed(ui)),
            (2, Presence::Unknown) => Some(colours::lost(ui)),
            _ => None,
        }
    });
}

fn or_none(rules: &str) -> String {
    if rules.is_empty() {
        text!("networks-no-rule")
    } else {
        rules.to_owned()
    }
}

/// Shows the cells of what is no network: where none is there, and where that is not known.
fn elsewhere_cells(row: &mut TableRow<'_, '_>, id: &str, selected: bool) {
    let (name, words) = if id == NO_NETWORKS[0] {
        (text!("networks-in-none"), text!("networks-in-none-means"))
    } else {
        (text!("networks-unknown"), text!("networks-unknown-means"))
    };
    let said = text!("networks-row-elsewhere", name = &name, means = &words);
    let cells = [
        name,
        words,
        String::new(),
        String::new(),
        String::new(),
        String::new(),
    ];
    table_row(row, &cells, &said, selected, |ui, _| {
        Some(ui.visuals().weak_text_color())
    });
}

/// Returns the remarks on a network beside what is on and off.
fn remarks(network: &Network, status: &NetworkStatus) -> String {
    let mut said = Vec::new();
    if !status.blocks.is_empty() {
        said.push(text!(
            "networks-blocking",
            rules = clean(&status.blocks.join(", "))
        ));
    }
    if status.judged_as != status.presence {
        said.push(text!("networks-late"));
    }
    said.push(clean(&signs(&status.why)));
    said.extend(network.comment.as_deref().map(clean));
    said.retain(|words| !words.is_empty());
    said.join("; ")
}

/// Shows a network's details, and what the rules would be in it. Returns `true` if they are to be closed.
fn details(ui: &mut Ui, id: &str, seen: &OverviewSeen) -> bool {
    let all = &seen.rules.networks;
    let network = all.networks.iter().find(|network| network.id == *id);
    let status = network.and_then(|_| status_of(seen, id));
    let close = selection::head(ui, |ui| {
        let title = match (network, status) {
            (Some(_), Some(status)) => view::status::network(status),
            (Some(network), None) => network.id.clone(),
            (None, _) if id == NO_NETWORKS[0] => text!("networks-in-none-means"),
            (None, _) => text!("networks-unknown-means"),
        };
        ui.add(egui::Label::new(RichText::new(clean(&title)).strong()).wrap());
    });
    if let Some(network) = network {
        ui.add(egui::Label::new(clean(&known_by(network))).wrap());
        if let Some(comment) = &network.comment {
            ui.add(egui::Label::new(clean(comment)).wrap());
        }
    }
    let unknown = Presence::Unknown.name();
    if network.is_none() && id == NO_NETWORKS[1]
        || status.is_some_and(|status| status.presence == unknown)
    {
        ui.add(egui::Label::new(text!("networks-safe-side")).wrap());
    }
    if status.is_some_and(|status| status.judged_as != status.presence) {
        let words = RichText::new(text!("networks-late")).color(colours::lost(ui));
        ui.add(egui::Label::new(words).wrap());
    }
    as_if(ui, id, network.is_some(), seen);
    close
}

/// Shows what the rules that ask for networks would be in this one.
fn as_if(ui: &mut Ui, id: &str, is_network: bool, seen: &OverviewSeen) {
    let all = &seen.rules.networks;
    let Ok(then) = rules::as_if(&[id.to_owned()], &all.networks) else {
        return;
    };
    let told = seen.networks.as_ref().map(|networks| &networks.networks);
    let now = status::judged_as(told.unwrap_or(&seen.status.networks));
    let (now, then) = (effects(all, &now), effects(all, &then));
    let switched: Vec<_> = all
        .rules
        .iter()
        .zip(now.into_iter().zip(then))
        .filter(|(_, (now, then))| now != then)
        .collect();
    let words = match (is_network, switched.is_empty()) {
        _ if all.rules.is_empty() => text!("networks-not-asked-for"),
        (true, true) => text!("networks-as-here", network = clean(id)),
        (true, false) => text!("networks-as-if", network = clean(id)),
        (false, true) => text!("networks-as-now"),
        (false, false) => text!("networks-as-otherwise"),
    };
    ui.add(egui::Label::new(words).wrap());
    for (rule, (now, then)) in switched {
        let words = text!(
            "networks-switched",
            rule = clean(&rule.id),
            now = effect(now),
            then = effect(then),
        );
        ui.add(egui::Label::new(format!("    {words}")).wrap());
    }
}

/// Returns the effect of each rule with these presences.
fn effects(all: &NetworkRules, told: &[(String, Presence)]) -> Vec<Effect> {
    let presences = all.networks.iter();
    let presences: Vec<_> = presences
        .map(|network| Presence::among(told, network))
        .collect();
    all.effects(&presences)
}

fn effect(effect: Effect) -> String {
    match effect {
        Effect::On => text!("networks-rule-on"),
        Effect::Off => text!("networks-rule-off"),
        Effect::Blocks => text!("networks-rule-blocks"),
    }
}
