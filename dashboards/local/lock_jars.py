"""Maven roots → ``jars.lock.json``: ``python -m dashboards.local.lock_jars``, when a version changes.

Resolves the runtime dependencies of each root with jgo, downloads every file once and writes coordinate and
SHA-256. Nothing at run time resolves anything: the lock is the class path.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from dashboards.local.fetch import PARALLEL_DOWNLOADS
from dashboards.local.jars import LOCK_FILE
from dashboards.local.java import runtime
from dashboards.local.locked_file import sha256

#: Product → roots whose runtime dependencies are its class path.
#: Kafka logs through slf4j 1.7 and its POM leaves out the binding that its distribution ships.
CLASS_PATHS: Final = {
    "kafka": ["org.apache.kafka:kafka_2.13:4.3.0", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"],
}

#: Product → single files without dependencies, or whose dependencies Kafka's class path has.
ARCHIVES: Final = {
    "console": ["org.apache.kafka:kafka-tools:4.3.0:jar:"],
    "apicurio": ["io.apicurio:apicurio-registry-app:3.3.3:tar.gz:all"],
}


def resolve(roots: list[str], context: Any) -> list[Any]:
    """Artifacts of the roots and their runtime dependencies, each once, in class path order."""
    artifacts: dict[tuple[str, str], Any] = {}
    for root in roots:
        direct, transitive = context.resolver.resolve([context.create_dependency(root)])
        for dependency in [*direct, *transitive]:
            if dependency.scope in (None, "compile", "runtime"):
                artifacts.setdefault((dependency.groupId, dependency.artifactId), dependency.artifact)
    return list(artifacts.values())


def archive(coordinate: str, context: Any) -> Any:
    """Artifact of one ``group:artifact:version:packaging:classifier``."""
    group, artifact, version, packaging, classifier = coordinate.split(":")
    return context.project(group, artifact).at_version(version).artifact(classifier, packaging)


def entry(artifact: Any) -> dict[str, str]:
    """Row of the lock for one artifact."""
    parts = [artifact.groupId, artifact.artifactId, artifact.version]
    if artifact.classifier or artifact.packaging != "jar":
        parts += [artifact.packaging, artifact.classifier]
    return {"coordinate": ":".join(parts), "sha256": sha256(Path(artifact.resolve()))}


def main() -> int:
    """Write the lock."""
    os.environ["JAVA_HOME"] = str(runtime().home)
    from jgo.maven import MavenContext  # reads JAVA_HOME

    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
        context = MavenContext(repo_cache=Path(directory))
        lock = {name: list(pool.map(entry, resolve(roots, context))) for name, roots in CLASS_PATHS.items()}
        for name, coordinates in ARCHIVES.items():
            lock[name] = list(pool.map(entry, [archive(coordinate, context) for coordinate in coordinates]))
    LOCK_FILE.write_text(json.dumps(lock, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
