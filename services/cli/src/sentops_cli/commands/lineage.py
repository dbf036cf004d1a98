"""`sentops lineage`: from a prediction to the rows that its model was trained on."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree

from sentops_cli.commands.options import DEFAULT_HOME, HomeOption, JsonOption, ask
from sentops_cli.commands.predictions import shortened
from sentops_cli.output import print_json, say, terminal

Facts = Mapping[str, Any]
_INDENT = "  "


def lineage(
    prediction_id: Annotated[str, typer.Argument(help="As `sentops predict` or the API gave it.")],
    *,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Walk from a prediction to its model version, training job, dataset, rows and who labelled them."""
    found = ask(
        home, lambda services: services.backoffice.get(f"/backoffice/api/lineage/{prediction_id}")
    )
    if as_json:
        print_json(found)
        return
    root = walk(found)
    console = terminal()
    if console.is_terminal:
        console.print(as_tree(root))
    else:
        for line in as_lines(root):
            say(line)


class Node:
    """A line and what it leads to."""

    def __init__(self, line: str, below: Sequence["Node"] = ()) -> None:
        self.line = line
        self.below = list(below)


def walk(found: Facts) -> Node:
    """The chain as nested lines; where it ends, a line says why."""
    prediction = found["prediction"]
    text = prediction.get("text")
    said = f"“{shortened(text)}”" if text else "(text erased)"
    fast = ", by the fast path" if prediction.get("path") == "fast" else ""
    root = Node(f"Prediction {said}: {prediction['label']} ({prediction['score']:.3f}){fast}")
    root.below += [
        Node(
            f"Vote of {str(one['voted_at'])[:16].replace('T', ' ')}: {one['label']}"
            + (f" ({one['note']})" if one.get("note") else "")
        )
        for one in found["votes"]
    ]
    root.below += [
        Node(
            f"Its text is in {one['dataset_version']} as {one['label']} ({one['split']}, {one['source']}"
            + (", from this prediction)" if one.get("from_this_prediction") else ")")
        )
        for one in found["own_rows"]
    ]
    root.below.append(_version(found))
    return root


def _version(found: Facts) -> Node:
    version = found["model_version"]
    if version is None:
        return Node(f"Model version {found['prediction']['model_version']}: not in the database")
    node = Node(
        f"Model version {version['name']} ({version['phase']}), artefact {version['digest']}"
    )
    job = found["training_job"]
    if job is None:
        node.below.append(Node("No training job: it was not trained here"))
    else:
        node.below.append(
            Node(
                f"Training job {job['name']} ({job['phase']}): {job['method']} on {job['base_model']}, "
                f"by {job['created_by']}"
            )
        )
    (node.below[-1].below if job is not None else node.below).append(_dataset(found))
    return node


def _dataset(found: Facts) -> Node:
    dataset = found["dataset_version"]
    if dataset is None:
        return Node("Its dataset version is not in the database")
    node = Node(
        f"Dataset version {dataset['name']} of {dataset['dataset']}: {dataset['rows_train']} rows to train on, "
        f"{dataset['rows_holdout']} held out"
    )
    node.below.append(Node(f"Content {dataset['content_hash']}"))
    for key in ("origin", "licence", "parent"):
        if dataset.get(key):
            node.below.append(Node(f"{key.capitalize()}: {dataset[key]}"))
    if dataset.get("erased_rows"):
        node.below.append(Node(f"{dataset['erased_rows']} rows were erased since"))
    node.below += [
        Node(f"{one['rows']} {one['label']} rows in {one['split']} from {one['source']}")
        for one in found["sources"]
    ]
    node.below.append(Node(f"Each row: sentops datasets rows {dataset['name']}"))
    people = found["labelled_by_people"]
    if people:
        node.below.append(Node("Labelled by people", [Node(_labelled(one)) for one in people]))
    return node


def _labelled(row: Facts) -> str:
    text = shortened(row["text"]) if row.get("text") else "(text erased)"
    return f"“{text}”: {row['label']} ({row['split']}), by {row['annotator']}"


def as_tree(node: Node) -> Tree:
    tree = Tree(Text(node.line))
    for child in node.below:
        _grow(tree, child)
    return tree


def _grow(tree: Tree, node: Node) -> None:
    branch = tree.add(Text(node.line))
    for child in node.below:
        _grow(branch, child)


def as_lines(node: Node, depth: int = 0) -> list[str]:
    lines = [f"{_INDENT * depth}{node.line}"]
    for child in node.below:
        lines += as_lines(child, depth + 1)
    return lines
