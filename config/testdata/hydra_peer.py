"""Makes cases for the configuration package and lets Hydra answer them.

    python hydra_peer.py --seed 1 --compositions 2000 --overrides 2000 --values 2000 > cases.jsonl

One JSON object a line: the case and the answer of hydra-core 1.3.8 and omegaconf
2.3.1 ("error" where they refuse it). Values are typed: null, true, "text",
{"i": "1"}, {"f": "1e-05"}, [list], {"d": [[key, value], ...]} in order. The first
line names versions and seed. --table adds the fixed cases.
"""
import argparse, copy, json, math, os, random, shutil, sys, tempfile, warnings

warnings.simplefilter("ignore")
import yaml
from omegaconf import OmegaConf, DictConfig, ListConfig, Container
import omegaconf, hydra
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, QuotedString, RangeSweep, Sweep
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.types import RunMode


def typed(v):
    if isinstance(v, QuotedString):
        return {"q": v.with_quotes()}
    if isinstance(v, bool) or v is None or isinstance(v, str):
        return v
    if isinstance(v, int):
        return {"i": str(v)}
    if isinstance(v, float):
        return {"f": repr(v)}
    if isinstance(v, (list, tuple)):
        return [typed(x) for x in v]
    if isinstance(v, dict):
        return {"d": [[typed(k), typed(x)] for k, x in v.items()]}
    if isinstance(v, Container):
        return typed(OmegaConf.to_container(v, resolve=False))
    return {"other": type(v).__name__}


# ---------------------------------------------------------------- values

def value_case(text):
    case = {"kind": "value", "text": text}
    try:
        obj = yaml.load(text, Loader=omegaconf._utils.get_yaml_loader())
        if obj is not None and not isinstance(obj, (dict, list)):
            return None
        cfg = OmegaConf.create({} if obj is None else obj)
    except RecursionError:
        return None
    except Exception:
        case["answer"] = "error"
        return None if "\\'" in text else case  # an escape that Go's YAML scanner knows
    out = {"raw": typed(OmegaConf.to_container(cfg, resolve=False)), "yaml": OmegaConf.to_yaml(cfg)}
    resolved = []
    for k in (list(cfg.keys()) if isinstance(cfg, DictConfig) else range(len(cfg))):
        try:
            v = cfg[k]
            v = OmegaConf.to_container(v, resolve=True) if isinstance(v, Container) else v
            resolved.append([typed(k), typed(v)])
        except RecursionError:
            return None
        except Exception:
            resolved.append([typed(k), {"error": True}])
    out["resolved"] = resolved
    case["answer"] = out
    return case


ATOMS = ["1", "-1", "+1", "1_000", "0x1F", "0b11", "017", "0o17", "08", "1:30", "1:30:15", "12:30.5", "1.", ".5", "1e3", "1_0.5", ".inf", "-.Inf", ".nan", "inf", "nan",
         "1.2.3", "yes", "no", "on", "OFF", "True", "tRue", "y", "n", "~", "null", "Null", "", "2020-01-01", "2020-01-01 10:00:00", "!!int '3'", "!!str 1", "!!float 2", "!!bool 'yes'", "!!null ''", "!foo x",
         "abc", "a b", "'quoted'", '"dq\\n"', "'1'", "'yes'", "'010'", "???", "'???'", "a#b", "a: b", "x:y", "-", "- a", "é", "日本", "'it''s'", "1e400", "12345678901234567890", "0", "-0", "00", "0.0", "-0.0",
         "1e-5", "1E5", "1e+5", ".5e1", ".5e-1", "+.5", "-.5", "+.inf", "1_", "_1", "1__0", "0x", "0b", "0x_1", "190:20:30", "1:60", "=", "<<", "[1, a]", "{p: 1, q: [2]}", "[]", "{}", "@x", "`x", "%x", "&a 5", "*a", "|\n  text\n  more",
         ">\n  folded\n  text", "'a\n\n  b'", "'  lead'", "'trail '", '"tab\\there"', '"\\u00e9"', '"\\x01"', "1.5e3", "1e1_0", "1_000.5", "0.1_5", "0777_1", "9_9", "+0x1f", "-0b1", "'#x'", "'a #b'", "'a: b'", "'{a}'", "'---'", "'- x'", "'? x'", "','",
         '"a\\"b"', "'null'", "'~'", "'1.0'", "'1e5'", "'0x10'", "'1_0'", "'.5'", "'=' ", "'<<'", "'*x'", "'&x'", "'!x'", "'%x'", "'@x'", "'Y'", "'On'", "'2001-12-14t21:59:43.10-05:00'", "'inf'", "'nan'", "'infinity'", "' 1 '", "'a\tb'"]
KEYS = ["a", "b", "c", "d", "e"]


def rand_scalar(r):
    if r.random() < 0.75:
        return r.choice(ATOMS)
    alphabet = r.choice(["0123456789", "0123456789.eE+-_", "01234567:._", "abcxyz ._-:#'\"", "yesnotrufal", "'\"\\ab n", "[]{},:ab 1", "0x1fb_o"])
    return "".join(r.choice(alphabet) for _ in range(r.randint(1, 8)))


WORDS = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do 1 2.5 it's a:b #no & co".split()


def rand_long(r):
    words = [r.choice(WORDS) for _ in range(r.randint(8, 40))]
    text = r.choice([" ", " ", "  ", ", "]).join(words)
    if r.random() < 0.2:
        text = text.replace(" ", "\n", 2)
    return json.dumps(text, ensure_ascii=False)


def rand_path(r, depth=0):
    keys = KEYS + ["f.g", "f.h", "f.k.m", "l[0]", "l.1", "l[2].x", "missing", "n", "s", "f", "l", "a", "b", "i", "t"]
    p = r.choice(keys)
    roll = r.random()
    if roll < 0.12:
        p = "." + p
    elif roll < 0.17:
        p = ".." + p
    if depth < 2 and r.random() < 0.12:
        p = r.choice(["${%s}" % rand_path(r, depth + 1), "f.${%s}" % rand_path(r, depth + 1), "l[${i}]", "l.${%s}" % rand_path(r, depth + 1), "[%s]" % p.strip("."), "f[g]", "${s}.g", "$x", "a-b", "日"])
    return p


def rand_arg(r, depth=0):
    roll = r.random()
    if roll < 0.35:
        return r.choice(["1", "a", "true", "null", "1e3", "3.5", "HOME", "'q'", '"d q"', "a b", "", "x:y", "\\,", "a\\ b", "/p/q", "1_0", "01", "-1", "inf", "k-v", "?", "a|b", "$", "'${a}'", '"x ${b} y"', "'\\''", "'\\\\${a}'", "NONE_SUCH", "TEST_ENV", "'it'", "1.e5", "a.b"])
    if roll < 0.6:
        return rand_inter(r, depth + 1)
    if roll < 0.75:
        return "[" + ",".join(rand_arg(r, depth + 1) for _ in range(r.randint(0, 3))) + "]"
    if roll < 0.85:
        return "{" + ",".join(r.choice(KEYS + ["1", "true", "x y"]) + r.choice([":", ": ", " : "]) + rand_arg(r, depth + 1) for _ in range(r.randint(0, 2))) + "}"
    return "".join(r.choice("ab1.-+ ,:'\"\\[]{}()$%/") for _ in range(r.randint(1, 6)))


def rand_inter(r, depth=0):
    roll = r.random()
    sp = r.choice(["", "", "", " "])
    if roll < 0.6 or depth > 2:
        return "${" + sp + rand_path(r) + sp + "}"
    name = r.choice(["oc.env", "oc.env", "oc.decode", "oc.decode", "oc.create", "oc.select", "oc.select", "oc.dict.keys", "oc.dict.values", "oc.deprecated", "nope", "oc.${s}", "oc .env"])
    n = r.choice([1, 1, 1, 2, 2, 0, 3])
    args = [rand_arg(r, depth + 1) for _ in range(n)]
    if name in ("oc.select", "oc.dict.keys", "oc.dict.values", "oc.deprecated") and args and r.random() < 0.85:
        args[0] = rand_path(r, 2)
    if name == "oc.env" and args and r.random() < 0.8:
        args[0] = r.choice(["TEST_ENV", "NO_SUCH_ENV", "TEST_NUM"])
    if name == "oc.decode" and args and r.random() < 0.8:
        args = ["'" + rand_arg(r, depth + 1).replace("'", "\\'") + "'"]
    if name == "oc.deprecated":
        args = args[:1]
    return "${" + sp + name + r.choice([":", ":", " : "]) + r.choice([",", ", "]).join(args) + sp + "}"


def rand_text(r):
    parts = []
    for _ in range(r.choice([1, 1, 1, 2, 3])):
        roll = r.random()
        if roll < 0.65:
            parts.append(rand_inter(r))
        elif roll < 0.8:
            parts.append(r.choice(["x", " ", "p/", "$", "$b", "}", "é", ":", "{"]))
        elif roll < 0.95:
            parts.append(r.choice(["\\", "\\\\", "\\\\\\"]) + rand_inter(r))
        else:
            parts.append(r.choice(["${", "${}", "${a", "${.}", "${a b}", "\\", "${a..b}", "${[a]}", "${a[}", "${a.}"]))
    return "".join(parts)


def rand_values(r):
    if r.random() < 0.35:
        lines = []
        for k in r.sample(KEYS, r.randint(1, 4)):
            v = rand_long(r) if r.random() < 0.15 else rand_scalar(r)
            lines.append("%s: %s" % (k, v))
        if r.random() < 0.15:
            lines.append("%s: 1" % rand_scalar(r))
        if r.random() < 0.1:
            lines.append("m:\n  - %s\n  - n: %s\n    o: %s\n  - - 1\n    - %s" % tuple(rand_scalar(r).split("\n")[0] for _ in range(4)))
        return "\n".join(lines) + "\n"
    doc = {"n": None, "s": r.choice(["env", "f", "g", "a"]), "i": r.choice([0, 1, "0", "1"]), "t": True,
           "f": {"g": r.choice([1, "s", 1e-5, None, True, 1.0, "???"]), "h": r.choice(["${.g}", "${..a}", [1, "x"], {"k": "x"}, "${a}"]), "k": {"m": r.choice([1, "${..g}", "${...a}"])}},
           "l": [r.choice([1, "g", "${a}", "${.1}"]), "z", {"x": r.choice([1, "${..0}", "${...a}"])}]}
    for k in r.sample(KEYS, r.randint(1, 4)):
        doc[k] = rand_text(r) if r.random() < 0.8 else r.choice([1, "v", 2.5, None, "???", [1, 2], {"x": 1}])
    return yaml.safe_dump(doc, sort_keys=False, allow_unicode=True)


# ---------------------------------------------------------------- overrides

def nested_sweep(v):
    if isinstance(v, (Sweep, Glob)):
        return True
    if isinstance(v, list):
        return any(map(nested_sweep, v))
    return isinstance(v, dict) and any(map(nested_sweep, v.values()))


def override_case(line):
    case = {"kind": "override", "line": line}
    try:
        o = OverridesParser.create().parse_override(line)
        v = o._value
        if nested_sweep(v.list if isinstance(v, ChoiceSweep) else v if isinstance(v, (list, dict)) else None):
            raise ValueError("parsed, but refused as soon as it is used")
        out = {"op": o.type.name, "key": o.key_or_group, "package": o.package, "type": o.value_type.name if o.value_type else None}
        if isinstance(v, Sweep):
            out["tags"] = sorted(v.tags)
            out["shuffle"] = bool(getattr(v, "shuffle", False))
            if isinstance(v, IntervalSweep):
                out["interval"] = [typed(v.start), typed(v.end)]
            elif "shuffle" in line and not out["shuffle"]:
                return None  # random
            elif not out["shuffle"]:
                try:
                    out["jobs"] = [j[0] for j in BasicSweeper.split_arguments([o], None)[0]]
                except Exception:
                    out["jobs"] = "error"
        elif isinstance(v, Glob):
            out["glob"] = [v.include, v.exclude]
        else:
            if "shuffle" in line:
                return None
            out["value"] = typed(v)
            out["back"] = o.get_value_element_as_str() if o.value_type else None
        case["answer"] = out
    except RecursionError:
        return None
    except Exception:
        case["answer"] = "error"
    return case


def o_prim(r):
    if not risky(r, 1):
        return r.choice(["1", "-1", "1_000", "01", "1.5", ".5", "1e3", "inf", "nan", "true", "FALSE", "null", "yes", "a", "abc-d", "a b", "a.b", "/x/y", "'q'", '"q r"', "'a,b'", "\\,", "a\\,b", "${x}", "x${y}z", "$x", "???", "1a", "''", "1 2", "'it\\'s'", "0.1", "'\\\\'", "\\(x\\)", "'a\\\\'"])
    return r.choice(["1", "-1", "+5", "1_000", "01", "0x10", "1.5", "1.", ".5", "1e3", "-1e-3", "inf", "-inf", "nan", "NaN", "true", "TRUE", "false", "null", "Null", "yes", "None", "a", "abc-d", "a_b", "a b", " a ", "a.b", "/x/y", "a:b", "http://x.y/z", "'q'", '"q"', "'a\\'b'",
                     '"a\\\\"', "'a,b'", "\\,", "a\\,b", "\\(x\\)", "a\\ ", "\\\\", "\\a", "a\\=b", "${x}", "${a.b}", "${oc.env:HOME,/x}", "x${y}z", "${a:${b}}", "${a", "$", "$x", "%", "*", "@", "?", "???", "|", "-", "+", "é", "1__0", "1_", "1a", "a1", "--", "1-2", "trueish", "nullx", "1e400", "123456789012345678901234567890", "", " ", "\t", "'", '"', "a'b'", "''", '""', "1 2", "true false", "'\\\\'", '"\\n"', "a=b", "#", "(a)", "Infinity", "1.e3", "0.1", "00", "-0", "~"])


def o_elem(r, d=0):
    roll = r.random()
    sp = r.choice(["", "", "", " "])
    if roll < 0.6 or d > 2:
        return o_prim(r)
    if roll < 0.75:
        return "[" + sp + r.choice([",", ", ", " , "]).join(o_elem(r, d + 1) for _ in range(r.randint(0, 3))) + sp + "]"
    if roll < 0.9:
        return "{" + sp + r.choice([",", ", "]).join(o_prim(r) + r.choice([":", ": ", " :"]) + o_elem(r, d + 1) for _ in range(r.randint(0, 3))) + sp + "}"
    return o_func(r, d + 1)


def o_num(r):
    if not risky(r, 1):
        return r.choice(["1", "3", "5", "10", "-2", "0.3", "1.5", "1e1", "2.0", "0.1", "7", "-0.25"])
    return r.choice(["1", "3", "5", "10", "-2", "0", "0.3", "1.5", "1e1", "2.0", "0.1", "true", "a", "7", "-0.25"])


def o_func(r, d=0):
    name = r.choice(["int", "float", "str", "bool", "choice", "range", "interval", "glob", "sort", "shuffle", "tag", "choice", "range", "sort", "nope"])
    sep = r.choice([",", ", "])
    if name == "range":
        n = r.choice([1, 2, 3, 3, 2, 4])
        args = [o_num(r) for _ in range(n)]
        if r.random() < 0.3:
            args = [k + "=" + o_num(r) for k in r.sample(["start", "stop", "step", "bad"], r.randint(1, 3))]
        if r.random() < 0.1:
            args = [o_num(r), "step=" + o_num(r)]
    elif name == "interval":
        args = [o_num(r) for _ in range(r.choice([2, 2, 2, 1, 3]))]
        if r.random() < 0.2:
            args = ["start=" + o_num(r), "end=" + o_num(r)]
    elif name == "glob":
        args = [r.choice(["*", "a*", "[a*,b*]", "'x?'", "1"])]
        if r.random() < 0.4:
            args.append("exclude=" + r.choice(["*b", "[c,d]", "null"]))
        if r.random() < 0.2:
            args = ["include=" + args[0]] + args[1:]
    elif name in ("sort", "shuffle"):
        args = [r.choice([o_func(r, 3) if d < 2 else "1", o_num(r), o_prim(r), "[3,1,2]", "[a,c,b]", "choice(3,1,2)", "range(1,4)", "range(4,1,-1)", "choice(b,a)", "range(0,1,0.3)"])]
        args += [o_num(r) for _ in range(r.choice([0, 0, 2, 3]))]
        if r.random() < 0.3:
            args.append("reverse=" + r.choice(["true", "false", "1"]))
        if r.random() < 0.1:
            args = [r.choice(["list=[2,1]", "sweep=choice(2,1)", "sweep=range(3)", "list=null"])]
    elif name == "tag":
        args = [r.choice(["t1", "'t 2'", "3"]) for _ in range(r.randint(0, 2))] + [r.choice(["choice(a,b)", "range(3)", "interval(0,1)", "a", "sweep=choice(a)", "glob(*)"])]
    else:
        args = [r.choice([o_elem(r, d + 1), o_num(r), o_prim(r), "choice(1,2)", "range(3)", "interval(0,1)", "'2'", "{a:1,b:2.7}", "[1,2.5]"]) for _ in range(r.choice([1, 1, 2, 3, 0]))]
        if r.random() < 0.1:
            args.append("value=" + o_num(r))
    return name + r.choice(["(", "(", " (", "( "]) + sep.join(args) + r.choice([")", ")", " )"])


def o_key(r):
    if not risky(r, 1):
        return r.choice(["a", "a.b", "a.b.c", "db", "db@src", "hydra/launcher", "a-b", "$x", "l.0"])
    return r.choice(["a", "a.b", "a.b.c", "db", "db@src", "db@a.b", "hydra/launcher", "a-b", "a_b", "_x", "$x", "a.$x", "l.0", "0", "a.0.b", "a[0]", "-a", "a b", "é", "", "@p", "a@", "a/b/c", "a/b.c", "a.b/c", "a@b/c", "db@_global_", "a.", ".a", "a..b", "db@a:b", "1a", "a1", "a.1b", "a.01", "a.1_0", "a$", "a.-b", "/a", "a/", "db@0.a"])


def rand_override(r):
    if r.random() < 0.06:
        return "".join(r.choice("ab=+~@/.,[]{}:()'\"\\ $1") for _ in range(r.randint(1, 10)))
    RISK[0] = r.choice([1.0, 0.05, 0.05])
    op = r.choice(["", "", "", "", "+", "++", "~", "", ""]) if not risky(r, 0.1) else r.choice(["+++", "-"])
    key = o_key(r)
    if op == "~" and r.random() < 0.5:
        return op + key
    roll = r.random()
    if roll < 0.55:
        v = o_elem(r)
    elif roll < 0.75:
        v = o_func(r)
    elif roll < 0.95:
        v = r.choice([",", ", ", " ,"]).join(o_elem(r) for _ in range(r.randint(2, 4)))
    else:
        v = ""
    return op + key + r.choice(["=", "=", "=", "= ", " ="]) + v


# ---------------------------------------------------------------- compositions

class Copies:
    """Makes Hydra copy files that it uses twice. It does not by itself: what is merged
    over the first use is then seen by the second."""

    def __enter__(self):
        self.load = CachingConfigRepository.load_config

        def load(repo, config_path, load=self.load):
            return copy.deepcopy(load(repo, config_path))
        CachingConfigRepository.load_config = load

    def __exit__(self, *_):
        CachingConfigRepository.load_config = self.load


def composition_case(case):
    root = tempfile.mkdtemp()
    case = {"kind": "compose", **case}
    try:
        for name, text in case["files"].items():
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as f:
                f.write(text)
        GlobalHydra.instance().clear()
        with initialize_config_dir(root, version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            try:
                case["answer"] = composed(loader, case)
                paths = [d[0] for d in case["answer"]["defaults"]]
                if len(set(paths)) < len(paths):
                    with Copies():
                        if composed(loader, case) != case["answer"]:
                            return None  # a difference on purpose, see docs/configuration.md
            except RecursionError:
                return None
            except Exception as e:
                case["answer"], case["why"] = "error", str(e)[:200].replace(root, "")
            return case
    finally:
        shutil.rmtree(root)


def composed(loader, case):
    lists = loader.compute_defaults_list(case["name"], case["overrides"], RunMode.RUN)
    cfg = loader.load_configuration(case["name"], case["overrides"], run_mode=RunMode.RUN)
    out = {"choices": typed({k: v for k, v in OmegaConf.to_container(cfg.hydra.runtime.choices).items() if not k.startswith("hydra")}),
           "defaults": [[d.config_path, d.package, d.is_self] for d in lists.defaults if not d.config_path.startswith("hydra/")],
           "dirname": cfg.hydra.job._get_node("override_dirname")._value()}
    HydraConfig.instance().set_config(cfg)
    task = cfg.copy()
    OmegaConf.set_struct(task, False)
    del task["hydra"]
    out["config"] = typed(OmegaConf.to_container(task, resolve=False))
    out["yaml"] = OmegaConf.to_yaml(task)
    try:
        out["resolved"] = typed(OmegaConf.to_container(task, resolve=True))
    except Exception:
        out["resolved"] = {"error": True}
    return out


GROUPS = ["db", "opt", "srv", "db/eng"]
NAMES = {"db": ["pg", "my"], "opt": ["adam", "sgd"], "srv": ["ng", "ap"], "db/eng": ["e1", "e2"]}
COUNTER = [0]
RISK = [1.0]  # how much of a composition is likely to be refused


def risky(r, p):
    return r.random() < p * RISK[0]


def content(r, group, name):
    lines = []
    keys = ["name", "x", "y", "sub", "lst", "ref", group.split("/")[-1] + "_own"]
    for k in r.sample(keys, r.randint(1, 4)):
        COUNTER[0] += 1
        v = {"name": name, "x": r.choice(["1", "2", "null", "???", "abc", "1.5"]), "y": r.choice(["true", "[1, 2]", "{p: 1}", "x"]),
             "sub": "{u: %d, w%d: 1}" % (COUNTER[0], r.randint(0, 3)), "lst": r.choice(["[a, b]", "[%d]" % COUNTER[0], "[]"]),
             "ref": r.choice(["${x}", "${.x}", "${db.x}", "${.name}", "'${opt.name}-${db.name}'", "${..x}", "${.sub}", "${db.sub}", "'a ${.name}'"])}.get(k, str(COUNTER[0]))
        if v.startswith("${"):
            v = "'" + v + "'"
        lines.append("%s: %s" % (k, v))
    return lines


def defaults_item(r, group, options, level):
    """One entry of a defaults list inside the given group."""
    relative = [g for g in GROUPS if g != group]
    target = r.choice(relative)
    opts = NAMES[target]
    key = target if not group or risky(r, 0.15) else "/" + target
    if group == "db" and r.random() < 0.4:
        target, key, opts = "db/eng", "eng", NAMES["db/eng"]
    prefix = ""
    if r.random() < 0.12:
        prefix = "optional "
    elif risky(r, 0.14):
        prefix = r.choice(["override ", "override ", "override ", "optional override "])
    if r.random() < 0.3:
        key += "@" + r.choice(["pkg", "_here_", "_global_", "p.q", "_global_.z", "_group_.k", "x", "_here_.h"])
    value = r.choice(opts)
    roll = r.random()
    if roll < 0.05:
        value = "null"
    elif roll < 0.13:
        value = "[" + ", ".join(r.sample(opts, r.randint(1, len(opts)))) + "]"
    elif roll < 0.19:
        value = "'" + r.choice(["${db}_${opt}", "${db}", "${opt}", "${srv}"]) + "'"
        if RISK[0] < 1:
            key = ("/" if group else "") + "combo@" + r.choice(["c1", "c2", "c3"])
    elif prefix == "optional " and roll < 0.4 or risky(r, 0.03):
        value = "nonesuch"
    elif risky(r, 0.03):
        value = "???"
    elif risky(r, 0.02):
        value = r.choice(["1", "{a: b}", "true", "'${nope}'"])
    elif roll > 0.97:
        value += ".yaml"
    if r.random() < 0.12 and not prefix:
        return "- " + r.choice([("/db/pg" if risky(r, 0.5) else "/other"), "/other", "/other@pkg", "/opt/sgd@" + r.choice("abc"), "_self_" if risky(r, 1) else "/other@here"])
    return "- %s%s: %s" % (prefix, key, value)


def rand_file(r, group, name, level):
    text = ""
    if r.random() < 0.2:
        text += "# @package " + (r.choice(["_global_", "foo", "foo.bar", "_group_", "_global_.g", "x"]) if not risky(r, 0.1) else "a b") + "\n"
    elif r.random() < 0.04:
        text += "# a comment\n# @package foo\n"
    lines = content(r, group or "main", name)
    if r.random() < (1.0 if level == 0 else 0.3 if level < 3 else 0.0):
        items = [defaults_item(r, group, None, level) for _ in range(r.randint(1, 4 if level == 0 else 2))]
        if r.random() < 0.6:
            items.insert(r.randint(0, len(items)), "- _self_")
        if level == 0 and r.random() < 0.6:
            seen, first = set(), []
            for g in r.sample(["db", "opt", "srv"], r.randint(1, 3)):
                first.append("- %s: %s" % (g, r.choice(NAMES[g])))
            if not risky(r, 0.7):  # the same group again only under a package
                named = {i.split(":")[0][2:] for i in first}
                items = [i for i in items if i.split(":")[0].split(" ")[-1] not in named]
                if r.random() < 0.3:
                    g = r.choice(sorted(named))
                    items.append("- override %s: %s" % (g, r.choice(NAMES[g])))
            items = first + items
        plain = [i for i in items if "override " not in i]
        if not risky(r, 0.2):
            items = plain + [i for i in items if "override " in i]
        text += "defaults:\n" + "".join("  %s\n" % i for i in items)
    if group == "" and r.random() < 0.04:
        lines.append("defaults2: 1")
    if level > 0 and r.random() < 0.02:
        return text + "- 1\n- 2\n" if "defaults" not in text else text
    return text + "\n".join(lines) + "\n"


def rand_composition(r):
    RISK[0] = r.choice([1.0, 0.1, 0.05, 0.05])
    files = {"main.yaml": rand_file(r, "", "main", 0), "other.yaml": "o: 1\nx: other\n"}
    for g in GROUPS:
        for n in NAMES[g]:
            if not risky(r, 0.07):
                files["%s/%s.yaml" % (g, n)] = rand_file(r, g, n, g.count("/") * 2 + r.randint(1, 2))
    files["opt/pg_adam.yaml"] = "combo: 1\n"
    for n in ("pg", "my", "adam", "sgd", "ng", "ap", "pg_adam", "pg_sgd", "my_adam", "my_sgd"):
        files["combo/%s.yaml" % n] = "co: %s\nx: 4\n" % n
    files["srv/pg.yaml"] = "combo: 2\n"
    overrides = []
    for _ in range(r.choice([0, 0, 1, 1, 2, 3])):
        g = r.choice(GROUPS)
        if not risky(r, 1):
            present = [g for g in ("db", "opt", "srv") if "\n  - %s: " % g in "\n" + files["main.yaml"]]
            overrides.append(r.choice(["++x=5", "++new.a.b=2", "+added.k=[1,{a: b}]", "++db.x=[1,2]", "++opt.sub={w1: 4}", "++ref=3", "hydra.job.name=jj", "++lst=[1,2]", "++sub.q='${x}'"]
                                      + ["%s=%s" % (g, r.choice(NAMES[g])) for g in present] + ["%s=[%s]" % (g, ",".join(NAMES[g])) for g in present[:1]] + ["~%s" % g for g in present[:1]] + ["+%s@pk=%s" % (g, r.choice(NAMES[g])) for g in present]))
            continue
        overrides.append(r.choice([
            "%s=%s" % (g, r.choice(NAMES[g])), "+%s=%s" % (g, r.choice(NAMES[g])), "+%s@pk=%s" % (g, r.choice(NAMES[g])), "~%s" % g, "~%s=%s" % (g, NAMES[g][0]), "%s=null" % g, "%s@pkg=%s" % (g, NAMES[g][0]), "%s=[%s]" % (g, ",".join(NAMES[g])), "+%s@_global_=%s" % (g, NAMES[g][1]),
            "x=5", "+x=5", "++x=5", "+new=1", "++new.a.b=2", "db.x=9", "+db.x=9", "++db.x=[1,2]", "~x", "~db.x", "~x=1", "sub={u:1}", "+sub={z:1}", "lst.0=q", "lst=[7]", "+lst=[3]", "y.p=2", "+y.p=2", "x.k=1", "+x.k=1", "ref=3", "+ref=3", "~ref", "~lst", "~sub.u", "opt.name=n", "++opt.sub.w1=4", "db.name='${opt.name}'", "x=???", "~lst.0", "lst.9=1", "sub=5", "db.sub=null", "hydra.job.name=jj", "~sub", "name.a=1", "x=${y}", "+ref.u=1", "ref.u=1", "main_own=2", "foo.name=3", "+foo.bar.name=3"]))
    return {"files": files, "name": "main" if not risky(r, 0.15) else r.choice(["db/pg", "nosuch"]), "overrides": overrides}


TABLE_OVERRIDES = ["a=1", "a=01", "a=1e400", "a=", "=1", "a=[1,]", "a=1,", "a=,1", "a=1,,2", "~a", "~a=1", "+a=1", "++a=1", "a={x:1,y:[2]}", "a=range(0,1,0.3)", "a=range(5)", "a=glob([a*,b*],exclude=*c)", "a=sort(3,1,2,reverse=true)", "a=tag(t1,t2,choice(a,b))", "a=\"a\\nb\"", "a=${x}", "a=${oc.env:HOME,/x}", "a=${a:${b}}", "a='${a:${b}}'", "a=int(3.7)", "a=bool(true)", "a=str([1,2.0,true])", "a=float('3')", "a=interval(1,2)", "a=shuffle(1,2,3)", "a=choice(choice(1,2))", "a={null:1}", "a={1:2,1:3}", "a='x'y", "a=b c", "a=b\\ ", "a=[[[]]]", "a=yes", "a=Infinity"]


TABLE_INTERPOLATIONS = ["${a.b}", "${l[0]}", "${l.0}", "${ a.b }", "${b.${c}}", "${a.${s}}", "x${a.b}", "${n}", "${a}", "${l}", "<${n}>", "<${t}>", "<${f}>", "<${one}>", "<${l}>", "<${a}>", "\\${b}", "\\\\${a.b}", "\\\\\\${b}", "$b",
                        "${", "${}", "${b", "${l[-1]}", "${missing}", "${unknown}", "${nope:1}", "${oc.env:TEST_ENV}", "${oc.env:NO_SUCH_ENV}", "${oc.env:NO_SUCH_ENV,3}", "${oc.env:NO_SUCH_ENV,1e3}", "${oc.env:NO_SUCH_ENV,true}", "${oc.env:NO_SUCH_ENV,[1,2]}",
                        "${oc.env:NO_SUCH_ENV,null}", "${oc.env:NO_SUCH_ENV,}", "${oc.decode:'[1, {a: 2}]'}", "${oc.decode:null}", "${oc.decode:'1e3'}", "${oc.create:{a:1}}", "${oc.create:[${a.b}]}", "${oc.select:a.b}", "${oc.select:zz}", "${oc.select:zz,5}", "${oc.select:missing,5}",
                        "${oc.dict.keys:a}", "${oc.dict.values:a}", "${oc.deprecated:a.b}", "${self}", "${.a.b}", "${..a}", "${a-b}", "${a b}", "${a.b", "${oc.env:'TEST_ENV'}", "${oc.env:\"TEST_ENV\"}", "${oc.env:${envname}}", "${oc.${s2}:TEST_ENV}"]
INTERPOLATION_BASE = "a: {b: 5, k: x, up: '${..one}', rel: '${.b}'}\nb: {b: 7}\nc: b\ns: k\ns2: env\nl: [1, x]\nn: null\nt: true\nf: 1e-5\none: 1.0\nmissing: ???\nself: ${self}\na-b: dash\nenvname: TEST_ENV\nv: %s\n"

# What overrides do to a small tree (one composition each).
TABLE_FILES = {"main.yaml": "defaults:\n  - db: my\n  - _self_\na: 1\nb: 1\nd: {e: 1, f: {g: 2}}\nl: [1, 2]\nn: null\nx: 1\nm: ???\nr: ${a}\nrd: ${d}\nrl: ${l}\n", "db/my.yaml": "name: my\nuser: root\n", "db/pg.yaml": "name: pg\nport: 1\n", "other/o.yaml": "o: 1\n"}
TABLE_APPLY = [["l.0=9"], ["l.5=9"], ["+l.2=9"], ["+l=[3]"], ["l=[3]"], ["+d={g:3}"], ["d={g:3}"], ["d={e:3}"], ["++d={h:3}"], ["n.k=1"], ["+n.k=1"], ["+x.k=1"], ["x.k=1"], ["~l.0"], ["~n"], ["~zz"], ["~x=1"], ["~x=2"], ["~d"], ["~d.f.g"], ["db=null"], ["~db", "+db=pg"], ["db=[my,pg]"], ["a=1", "a=2"], ["b=2", "+b=1"],
               ["db=pg"], ["db=zz"], ["+db=pg"], ["+db@pkg=pg"], ["db@pkg=pg"], ["+db@_global_=pg"], ["+other=o"], ["other=o"], ["~db"], ["~db=my"], ["~db=pg"], ["++db=pg"], ["db={name:x}"], ["m=5"], ["+m=5"], ["a=???"], ["d=???"], ["r=2"], ["r.z=1"], ["+r.z=1"], ["rd.e=5"], ["++rd.e=5"], ["rd={e:7}"], ["+rd={q:1}"],
               ["rl=[9]"], ["rl.0=5"], ["d=null"], ["d=5"], ["l={a:1}"], ["d=[1]"], ["a={z:1}"], ["+new=1"], ["new=1"], ["++new=1"], ["+new.a.b=1"], ["a=${x}"], ["a='${oc.env:TEST_ENV}'"], ["d.f={}"], ["~d.f", "d.e=3"], ["=1"], ["+a=2"], ["+n=3"], ["a=[1,2]"], ["a=1,2"], ["db.name=z"], ["db=pg", "db.user=x"], ["db=pg", "+db.user=x"], ["hydra.job.name=q"], ["hydra.nope=1"], ["+hydra.nope=1"], ["hydra.run.dir=x"],
               ["l=null"], ["~l"], ["~rd"], ["~r"], ["~m"], ["a=1.0"], ["~a=1.0"], ["~a=true"], ["d={f:{g:5}}"], ["d.f={g:5,h:6}"], ["+d.f={h:6}"], ["x=\"a b\""], ["x=a b"], ["x='${'"], ["x=yes"], ["x=01"], ["x=1e400"]]
# Defaults lists: the primary file's, over the files below.
DEFAULTS_FILES = {"db/my.yaml": "n: my\n", "db/pg.yaml": "n: pg\n", "db/deep.yaml": "defaults:\n  - eng: e1\n  - _self_\nn: deep\n", "db/eng/e1.yaml": "e: 1\n", "db/eng/e2.yaml": "e: 2\n", "glob/g.yaml": "# @package _global_\ng: 1\n", "foo/h.yaml": "# @package foo.bar\nh: 1\n", "late/c.yaml": "# note\n# @package foo\nh: 1\n", "two/t.yaml": "# @package a b\nh: 1\n",
                  "ov/o.yaml": "defaults:\n  - override /db: pg\nov: 1\n", "my_e1/x.yaml": "q: 1\n", "combo/my.yaml": "c: my\n", "combo/pg.yaml": "c: pg\n", "seq/s1.yaml": "- a\n- b\n", "seq/s2.yaml": "- c\n", "empty/z.yaml": "", "plain.yaml": "p: 1\n", "dflt/d.yaml": "sub: {defaults: [1]}\n"}
TABLE_DEFAULTS = ["- db: my", "- db: null", "- db: ???", "- db: [my, pg]", "- plain", "- plain@x.y", "- db/my", "- db@src: my\n- db@dst: pg", "- db@_here_: my", "- db@_global_: my", "- db@_group_.z: my", "- optional db: zz", "- optional zz: zz", "- db: zz", "- db: my\n- override db: pg", "- override db: pg\n- db: my", "- db: my\n- db: pg",
                  "- _self_\n- db: my", "- _self_\n- _self_", "- db: my\n- _self_", "- db: 1", "- db: {a: 1}", "- 1", "- {a: b, c: d}", "- {}", "- db: my\n- combo: ${db}", "- combo: ${db}\n- db: pg", "- combo: ${nope}", "- db: my\n- combo: ['${db}']", "- db: deep", "- db: deep\n- override db/eng: e2", "- db: deep\n- override db/eng: null",
                  "- glob: g", "- foo: h", "- late: c", "- two: t", "- db: my\n- ov: o", "- ov: o\n- db: my", "- seq: s1", "- seq: [s1, s2]", "- empty: z", "- db: my.yaml", "- db: my.yml", "- dflt: d", "- /db: my", "- /plain", "- optional override db: pg\n- db: my", "- override zz: pg", "- optional override zz: pg", "- db@: my", "- null", "- db: my\n- db@db: pg", "- plain\n- plain", "- 'a b: c'", "- override optional db: zz\n", "- db: my\n- optional override db: zz"]


def table():
    for line in TABLE_OVERRIDES:
        yield override_case(line)
    for atom in ATOMS:
        yield value_case("a: %s\n" % atom)
    for text in TABLE_INTERPOLATIONS:
        yield value_case(INTERPOLATION_BASE % json.dumps(text))
    for lines in TABLE_APPLY:
        yield composition_case({"files": TABLE_FILES, "name": "main", "overrides": lines})
    for items in TABLE_DEFAULTS:
        text = "defaults:\n" + "".join("  %s\n" % i for i in items.split("\n")) + "own: 1\n"
        yield composition_case({"files": {**DEFAULTS_FILES, "main.yaml": text}, "name": "main", "overrides": []})


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=1)
    for k in ("compositions", "overrides", "values"):
        p.add_argument("--" + k, type=int, default=0)
    p.add_argument("--table", action="store_true")
    a = p.parse_args()
    os.environ["TEST_ENV"], os.environ["TEST_NUM"] = "text", "12"
    os.environ.pop("NO_SUCH_ENV", None)
    emit = lambda case: case and print(json.dumps(case, ensure_ascii=True))
    emit({"kind": "head", "hydra": hydra.__version__, "omegaconf": omegaconf.__version__, "pyyaml": yaml.__version__, "seed": a.seed})
    r = random.Random(a.seed)
    if a.table:
        for case in table():
            emit(case)
    for count, make in ((a.values, lambda: value_case(rand_values(r))), (a.overrides, lambda: override_case(rand_override(r))), (a.compositions, lambda: composition_case(rand_composition(r)))):
        while count > 0:  # some cases have no answer to compare with
            case = make()
            emit(case)
            count -= case is not None


if __name__ == "__main__":
    main()
