"""The bare engine: texts through a Scorer one after another, no server around it. Prints JSON.

`python -m benchmarks.support.engine_loop FOLDER TEXTS.json SECONDS full|fast`. One thread, which is the least that the same answers cost.
"""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from sentops_core.inference import Scorer

_WARM_UP = 20


def main() -> int:
    folder, path, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    texts: list[str] = json.loads(path.read_text())
    scorer = Scorer.load(folder, fast_path=sys.argv[4] == "fast")
    scorer.score(texts[:_WARM_UP])
    answered = 0
    started, cpu_started = time.perf_counter(), time.process_time()
    while time.perf_counter() - started < seconds or answered < len(texts):
        scorer.score_one(texts[answered % len(texts)])
        answered += 1
    cpu, passed = time.process_time() - cpu_started, time.perf_counter() - started
    encode = scorer.vocabulary.tokenizer.encode
    report = {
        "cpu_seconds_per_1000": 1000 * cpu / answered,
        "texts_per_second": answered / passed,
        "tokens": [len(encode(scorer.config.prefix + text).ids) for text in texts],
        "answers": [asdict(one) for one in scorer.score(texts)],
    }
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
