"""Writes MLflow's own SQLite schema: schema.py FILE

Run with mlflow-skinny 3.1.4 (FILE = ../schema/3.1.sql, revision bda7b8c39065) and with
mlflow 2.22.4 (FILE = ../schema/2.22.sql, revision 0584bdc529eb). The statements are those that
sqlite_master holds after MLflow has made an empty store; nothing is written by hand.
"""
import os, sqlite3, sys, tempfile

import mlflow
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "mlflow.db")
    SqlAlchemyStore("sqlite:///" + path, os.path.join(folder, "mlruns"))
    db = sqlite3.connect(path)
    revision, = db.execute("select version_num from alembic_version").fetchone()
    lines = [f"-- MLflow's schema at revision {revision}, as MLflow {mlflow.__version__} makes it (testdata/schema.py)."]
    for text, in db.execute("select sql from sqlite_master where sql is not null order by rowid"):
        lines.append(" ".join(text.replace("\t", " ").split()) + ";")
    lines.append(f"INSERT INTO alembic_version (version_num) VALUES ('{revision}');")
with open(sys.argv[1], "w") as f:
    f.write("\n".join(lines) + "\n")
