//! The public items of a crate, read from its source: those of every system and feature at
//! once, with the `cfg` before them.
//!
//! It is stricter than a comparison of types: a change of a `cfg`, of a `derive`, or of a private field where there was
//! none is a change of what is offered too. What the compiler works out by itself (whether a type may go to
//! another thread) it does not see.

use crate::text::text;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use syn::{
    Attribute, Fields, File, ForeignItem, ImplItem, Item, ItemImpl, ItemMod, TraitItem, Type,
    UseTree, Visibility,
};

/// A module's path within the crate.
type At = Vec<String>;

#[derive(Default)]
struct Module {
    items: Vec<Item>,
    /// `true` if the module can be named from outside by its own path; `before` is the `cfg` before it.
    public: bool,
    before: String,
}

/// Source of a crate.
struct Source {
    name: String,
    modules: BTreeMap<At, Module>,
    /// Path at which each public item is named first, by its module and name.
    named: BTreeMap<(At, String), String>,
    lines: BTreeSet<String>,
}

/// A line for each.
pub fn of(root: &Path, name: &str) -> BTreeSet<String> {
    let mut source = Source {
        name: name.to_owned(),
        modules: BTreeMap::new(),
        named: BTreeMap::new(),
        lines: BTreeSet::new(),
    };
    let items = parse(root);
    let module = Module {
        items: items.items,
        public: true,
        before: String::new(),
    };
    source.read(Vec::new(), module, root.parent().expect("a folder"));
    source.offer();
    source.implement();
    source.lines
}

fn parse(file: &Path) -> File {
    let text = fs::read_to_string(file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    syn::parse_file(&text).unwrap_or_else(|why| panic!("{}: {why}", file.display()))
}

impl Source {
    /// A module and those below it, whose files lie in this folder.
    fn read(&mut self, at: At, module: Module, folder: &Path) {
        for item in &module.items {
            let Item::Mod(below) = item else { continue };
            if is_test(&below.attrs) {
                continue;
            }
            let name = below.ident.to_string();
            let (items, folder) = contents(below, folder);
            let below = Module {
                items,
                public: module.public && is_public(&below.vis),
                before: format!("{}{}", module.before, attributes(&below.attrs, &["cfg"])),
            };
            let mut path = at.clone();
            path.push(name);
            self.read(path, below, &folder);
        }
        self.modules.insert(at, module);
    }

    /// Lists what modules offer: what is public in public ones, and what these take from others.
    fn offer(&mut self) {
        let mut offered = Vec::new();
        for (at, module) in self.modules.iter().filter(|(_, module)| module.public) {
            for item in &module.items {
                match item {
                    Item::Use(it) if is_public(&it.vis) => {
                        let before =
                            format!("{}{}", module.before, attributes(&it.attrs, &["cfg"]));
                        for (path, name) in uses(&it.tree) {
                            offered.push((at.clone(), before.clone(), path, name));
                        }
                    }
                    Item::Use(_) => {}
                    _ => {
                        if let Some(name) = public_name(item) {
                            offered.push((
                                at.clone(),
                                module.before.clone(),
                                vec![name.clone()],
                                name,
                            ));
                        }
                    }
                }
            }
        }
        for (at, before, path, name) in offered {
            let public = format!("{}::{name}", self.path(&at));
            match self.find(&at, &path, 0) {
                Some((home, found)) => self.list(&public, &before, &home, &found),
                None => {
                    self.lines
                        .insert(format!("{public}: {before}use {}", path.join("::")));
                }
            }
        }
    }

    /// Returns a module's path, as other crates write it.
    fn path(&self, at: &At) -> String {
        [std::slice::from_ref(&self.name), at].concat().join("::")
    }

    /// The module and the name by which a path is defined, seen from a module.
    fn find(&self, from: &At, path: &[String], depth: usize) -> Option<(At, String)> {
        let (name, before) = path.split_last()?;
        if depth > 8 {
            return None;
        }
        let mut at = from.clone();
        for (n, part) in before.iter().enumerate() {
            match part.as_str() {
                "crate" => at = Vec::new(),
                "super" => drop(at.pop()),
                "self" => {}
                part => {
                    let mut below = at.clone();
                    below.push(part.to_owned());
                    if !self.modules.contains_key(&below) {
                        // A module that was taken from elsewhere by its name.
                        let (home, module) =
                            (n == 0).then(|| self.find(&at, &[part.to_owned()], depth + 1))??;
                        below = home;
                        below.push(module);
                    }
                    at = below;
                }
            }
        }
        let module = self.modules.get(&at)?;
        if module
            .items
            .iter()
            .any(|item| name_of(item).as_ref() == Some(name))
        {
            return Some((at, name.clone()));
        }
        let taken = module.items.iter().filter_map(|item| match item {
            Item::Use(it) => Some(uses(&it.tree)),
            _ => None,
        });
        let found = taken.flatten().find(|(_, as_name)| as_name == name)?;
        self.find(&at, &found.0, depth + 1)
    }

    fn list(&mut self, public: &str, before: &str, home: &At, name: &str) {
        let items = self.modules[home].items.iter();
        let named = items.filter(|item| name_of(item).as_deref() == Some(name));
        self.lines
            .extend(named.flat_map(|item| describe(public, before, item)));
        let key = (home.clone(), name.to_owned());
        self.named.entry(key).or_insert_with(|| public.to_owned());
    }

    /// Lists what is implemented for what is offered.
    fn implement(&mut self) {
        let mut lines = BTreeSet::new();
        for (at, module) in &self.modules {
            for item in &module.items {
                match item {
                    Item::Impl(it) if !is_test(&it.attrs) => {
                        lines.extend(self.implementation(at, it))
                    }
                    Item::ForeignMod(it) if module.public => {
                        for one in &it.items {
                            lines.extend(self.foreign(at, one));
                        }
                    }
                    Item::Macro(it)
                        if it.ident.is_none()
                            && module.public
                            && !it.mac.path.is_ident("thread_local") =>
                    {
                        let at = self.path(at);
                        lines.insert(format!("{at}: {}", without_comments(&text(&it.mac))));
                    }
                    _ => {}
                }
            }
        }
        self.lines.extend(lines);
    }

    fn implementation(&self, at: &At, it: &ItemImpl) -> Vec<String> {
        let named = |path: &syn::Path| {
            let path: Vec<_> = path
                .segments
                .iter()
                .map(|part| part.ident.to_string())
                .collect();
            let found = self.find(at, &path, 0)?;
            self.named.get(&found)
        };
        let of = match &*it.self_ty {
            Type::Path(path) => named(&path.path),
            _ => None,
        };
        let before = attributes(&it.attrs, &["cfg"]);
        let (generics, clause) = (text(&it.generics), &it.generics.where_clause);
        let clause = clause
            .as_ref()
            .map(|clause| format!(" {}", text(clause)))
            .unwrap_or_default();
        if let Some((_, of_trait, _)) = &it.trait_ {
            if of.is_none() && named(of_trait).is_none() {
                return Vec::new();
            }
            let whose = of.cloned().unwrap_or_else(|| text(&it.self_ty));
            let types = it.items.iter().filter_map(|item| match item {
                ImplItem::Type(it) => Some(format!(" {}", text(it))),
                _ => None,
            });
            let types: String = types.collect();
            let head = format!(
                "impl{generics} {} for {}",
                text(of_trait),
                text(&it.self_ty)
            );
            return vec![format!("{whose}: {before}{head}{clause}{types}")];
        }
        let Some(whose) = of else { return Vec::new() };
        let head = format!("impl{generics} {}{clause}", text(&it.self_ty));
        let items = it.items.iter().filter_map(|item| {
            let (vis, attrs, shown) = match item {
                ImplItem::Fn(it) => (&it.vis, &it.attrs, text(&it.sig)),
                ImplItem::Const(it) => (
                    &it.vis,
                    &it.attrs,
                    format!("const {}: {}", it.ident, text(&it.ty)),
                ),
                ImplItem::Type(it) => (&it.vis, &it.attrs, text(it)),
                _ => return None,
            };
            is_public(vis).then(|| {
                let attrs = attributes(attrs, &["cfg", "must_use"]);
                format!("{whose}: {before}{head}: {attrs}pub {shown}")
            })
        });
        items.collect()
    }

    fn foreign(&self, at: &At, item: &ForeignItem) -> Option<String> {
        let (vis, shown) = match item {
            ForeignItem::Fn(it) => (&it.vis, text(&it.sig)),
            ForeignItem::Static(it) => (&it.vis, format!("static {}: {}", it.ident, text(&it.ty))),
            _ => return None,
        };
        let at = self.path(at);
        is_public(vis).then(|| format!("{at}: extern pub {shown}"))
    }
}

/// A module's items, and the folder of the files below it.
fn contents(module: &ItemMod, folder: &Path) -> (Vec<Item>, std::path::PathBuf) {
    let name = module.ident.to_string();
    let below = folder.join(&name);
    if let Some((_, items)) = &module.content {
        return (items.clone(), below);
    }
    let beside = folder.join(format!("{name}.rs"));
    let file = if beside.exists() {
        beside
    } else {
        below.join("mod.rs")
    };
    (parse(&file).items, below)
}

fn is_public(vis: &Visibility) -> bool {
    matches!(vis, Visibility::Public(_))
}

/// Returns whether the item is there for tests alone.
fn is_test(attrs: &[Attribute]) -> bool {
    let mut conditions = attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
    conditions.any(|attr| {
        let shown = text(&attr.meta);
        shown == "cfg(test)" || shown.contains("doctest")
    })
}

/// Returns the attributes of these names, each with a space behind it.
fn attributes(attrs: &[Attribute], names: &[&str]) -> String {
    let kept = attrs
        .iter()
        .filter(|attr| names.iter().any(|name| attr.path().is_ident(name)));
    kept.map(|attr| format!("#[{}] ", text(&attr.meta)))
        .collect()
}

/// Returns each name that a `use` takes, with the path behind it.
fn uses(tree: &UseTree) -> Vec<(Vec<String>, String)> {
    match tree {
        UseTree::Path(it) => {
            let below = uses(&it.tree).into_iter();
            let first = it.ident.to_string();
            below
                .map(|(path, name)| match path.as_slice() {
                    [only] if only == "self" => (vec![first.clone()], first.clone()),
                    _ => ([std::slice::from_ref(&first), &path].concat(), name),
                })
                .collect()
        }
        UseTree::Name(it) => vec![(vec![it.ident.to_string()], it.ident.to_string())],
        UseTree::Rename(it) => vec![(vec![it.ident.to_string()], it.rename.to_string())],
        UseTree::Glob(_) => vec![(vec!["*".to_owned()], "*".to_owned())],
        UseTree::Group(it) => it.items.iter().flat_map(uses).collect(),
    }
}

fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(it) => &it.ident,
        Item::Enum(it) => &it.ident,
        Item::Fn(it) => &it.sig.ident,
        Item::Macro(it) => it.ident.as_ref()?,
        Item::Mod(it) => &it.ident,
        Item::Static(it) => &it.ident,
        Item::Struct(it) => &it.ident,
        Item::Trait(it) => &it.ident,
        Item::Type(it) => &it.ident,
        Item::Union(it) => &it.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

/// The name of an item that is public; of a macro, one that is exported.
fn public_name(item: &Item) -> Option<String> {
    let public = match item {
        Item::Const(it) => is_public(&it.vis),
        Item::Enum(it) => is_public(&it.vis),
        Item::Fn(it) => is_public(&it.vis),
        Item::Macro(it) => it
            .attrs
            .iter()
            .any(|attr| attr.path().is_ident("macro_export")),
        Item::Mod(it) => is_public(&it.vis) && !is_test(&it.attrs),
        Item::Static(it) => is_public(&it.vis),
        Item::Struct(it) => is_public(&it.vis) && !is_test(&it.attrs),
        Item::Trait(it) => is_public(&it.vis),
        Item::Type(it) => is_public(&it.vis),
        Item::Union(it) => is_public(&it.vis),
        _ => false,
    };
    public.then(|| name_of(item)).flatten()
}

/// Attributes that say where an item exists, and what it promises.
const SAID: [&str; 5] = ["cfg", "derive", "repr", "non_exhaustive", "must_use"];

/// Returns a line for an item, and one for each of its parts that others can name.
fn describe(public: &str, before: &str, item: &Item) -> Vec<String> {
    let head = |attrs: &[Attribute], shown: String| {
        format!("{public}: {before}{}{shown}", attributes(attrs, &SAID))
    };
    match item {
        Item::Const(it) => {
            let value = match &*it.expr {
                syn::Expr::Lit(value) => format!(" = {}", text(value)),
                _ => String::new(),
            };
            vec![head(&it.attrs, format!("const {}{value}", text(&it.ty)))]
        }
        Item::Fn(it) => vec![head(&it.attrs, text(&it.sig))],
        Item::Macro(it) => {
            let words = without_comments(&text(&it.mac.tokens));
            vec![head(&it.attrs, format!("macro {words}"))]
        }
        Item::Mod(it) => vec![head(&it.attrs, "mod".to_owned())],
        Item::Static(it) => vec![head(&it.attrs, format!("static {}", text(&it.ty)))],
        Item::Struct(it) => {
            let clause = it.generics.where_clause.as_ref().map(text);
            let generics = format!("{}{}", text(&it.generics), clause.unwrap_or_default());
            let shown = format!("struct{generics}{}", shape(&it.fields));
            let mut lines = vec![head(&it.attrs, shown)];
            lines.extend(public_fields(public, &it.fields));
            lines
        }
        Item::Enum(it) => {
            let mut lines = vec![head(&it.attrs, format!("enum{}", text(&it.generics)))];
            for one in &it.variants {
                let mut one = one.clone();
                one.attrs.retain(|attr| attr.path().is_ident("cfg"));
                for field in &mut one.fields {
                    field.attrs.clear();
                }
                lines.push(format!("{public}::{}", text(&one)));
            }
            lines
        }
        Item::Trait(it) => {
            let is_unsafe = it.unsafety.as_ref().map_or("", |_| "unsafe ");
            let (generics, bounds) = (text(&it.generics), text(&it.supertraits));
            let mut lines = vec![head(
                &it.attrs,
                format!("{is_unsafe}trait{generics}: {bounds}"),
            )];
            lines.extend(parts_of_trait(public, it));
            lines
        }
        Item::Type(it) => {
            let shown = format!("type{} = {}", text(&it.generics), text(&it.ty));
            vec![head(&it.attrs, shown)]
        }
        Item::Union(it) => vec![head(&it.attrs, format!("union{}", text(&it.generics)))],
        _ => Vec::new(),
    }
}

fn parts_of_trait(public: &str, it: &syn::ItemTrait) -> Vec<String> {
    let provided = |it: bool| if it { " (provided)" } else { "" };
    let parts = it.items.iter().filter_map(|item| match item {
        TraitItem::Fn(it) => Some(format!(
            "{}{}",
            text(&it.sig),
            provided(it.default.is_some())
        )),
        TraitItem::Const(it) => {
            let default = provided(it.default.is_some());
            Some(format!("const {}: {}{default}", it.ident, text(&it.ty)))
        }
        TraitItem::Type(it) => {
            let (generics, bounds) = (text(&it.generics), text(&it.bounds));
            Some(format!("type {}{generics}: {bounds}", it.ident))
        }
        _ => None,
    });
    parts.map(|part| format!("{public}: {part}")).collect()
}

/// Returns what one must know of fields to make a value.
fn shape(fields: &Fields) -> String {
    let tuple = if matches!(fields, Fields::Unnamed(_)) {
        " (tuple)"
    } else {
        ""
    };
    let hidden = fields.iter().any(|field| !is_public(&field.vis));
    let rest = if hidden { " and private fields" } else { "" };
    format!("{tuple}{rest}")
}

fn public_fields(public: &str, fields: &Fields) -> Vec<String> {
    let all = fields
        .iter()
        .enumerate()
        .filter(|(_, field)| is_public(&field.vis));
    let lines = all.map(|(n, field)| {
        let name = field
            .ident
            .as_ref()
            .map_or_else(|| n.to_string(), ToString::to_string);
        format!("{public}.{name}: {}", text(&field.ty))
    });
    lines.collect()
}

/// The words of a macro without their comments.
fn without_comments(tokens: &str) -> String {
    let mut kept = String::new();
    let mut rest = tokens;
    while let Some((before, comment)) = rest.split_once("#[doc = \"") {
        kept.push_str(before);
        rest = comment.split_once("\"]").map_or("", |(_, after)| after);
    }
    kept + rest
}
