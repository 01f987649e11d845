"""Writes cases.json: what Hydra's --cfg job prints for command lines over conf/.

    python cases.py      # hydra-core 1.3.8, omegaconf 2.3.1

Each case holds the arguments, the exit status (0 or 1) and standard output.
"""
import json
import os
import subprocess
import sys

APP = """
import hydra
@hydra.main(version_base="1.3", config_path=None, config_name=None)
def main(cfg): pass
main()
"""
CASES = [
    [],
    ["--resolve", "missing=1"],
    ["--resolve"],
    ["db=postgres", "db.port=1"],
    ["db=postgres", "--resolve", "missing=x"],
    ["opt@optim=adam", "optim.lr=1e-5"],
    ["exp=other"],
    ["exp=other", "--package", "db"],
    ["--package", "paths", "--resolve"],
    ["--package", "list"],
    ["--package", "name"],
    ["--package", "db.port"],
    ["+db@second=postgres", "+a.b.c=[1,{x: y}]", "~empty"],
    ["~db", "name=plain"],
    ["++quoted=no", "'unicode=\"a, b\"'"],
    ["unicode='it\\'s: \"x\"'", "list=[]", "none={a: 1}"],
    ["--config-dir", "more", "db=oracle"],
    ["--config-dir", "more", "db=oracle", "--resolve", "missing=''"],
    ["long=" + "word " * 40],
    ["long=" + "x" * 100, "tab=  spaced  "],
    ["time=1:30", "octal=0x10", "tiny=1e400", "big=1_000"],
    ["hydra.job.name=other", "name=${hydra:job.name}", "--resolve", "missing=0"],
    ["nope=1"],
    ["db=nope"],
    ["db.nope=1"],
    ["missing=${no.such}", "--resolve"],
    ["db=mysql,postgres"],
    ["+db=postgres"],
    ["~nope"],
    ["=x"],
]


def answer(args):
    env = dict(os.environ, HYDRA_FULL_ERROR="0")
    env.pop("CONF_ROOT", None)
    env.pop("CONF_USER", None)
    here = os.path.dirname(os.path.abspath(__file__))
    command = [sys.executable, "-c", APP, "--config-path", os.path.join(here, "conf"), "--config-name", "config", "--cfg", "job"]
    # argparse takes no overrides after flags that follow others
    flags, words, i = [], [], 0
    while i < len(args):
        if args[i] in ("--package", "--config-dir"):
            flags += args[i:i + 2]
            i += 1
        elif args[i].startswith("--"):
            flags.append(args[i])
        else:
            words.append(args[i])
        i += 1
    p = subprocess.run(command + flags + words, capture_output=True, text=True, cwd=here, env=env)
    return {"args": args, "status": min(p.returncode, 1), "out": p.stdout if p.returncode == 0 else ""}


if __name__ == "__main__":
    with open("cases.json", "w") as f:
        json.dump([answer(c) for c in CASES], f, indent=1, ensure_ascii=False)
        f.write("\n")
