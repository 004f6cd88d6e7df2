"""Claims about the command ``fairsisa dossier DIR``."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from sklearn_fairsisa import FairEnsemblePostprocessor, SISAClassifier
from sklearn_fairsisa.cli import main

N = 240
rng = np.random.default_rng(0)
PEOPLE = pd.DataFrame(rng.normal(size=(N, 3)).round(3), columns=["a", "b", "c"])
PEOPLE["sex"] = np.where(rng.random(N) < 0.5, "f", "m")
PEOPLE["district"] = rng.integers(1, 3, N)
PEOPLE["id"] = np.arange(1000, 1000 + N)
PEOPLE["hired"] = (PEOPLE["a"] + rng.normal(size=N) > 0).astype(int)
FEATURES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKLEARN_FAIRSISA_KEY", "a key for tests")
        folder = tmp_path_factory.mktemp("dossier")
        sisa = SISAClassifier(
            GaussianNB(), n_shards=3, random_state=0, checkpoint_dir=folder / "d"
        )
        # Districts are texts here, and numbers in the file.
        groups = PEOPLE[["sex", "district"]].astype(str)
        fair = FairEnsemblePostprocessor(sisa, method="soft_ensemble", random_state=0)
        fair.fit(
            PEOPLE[FEATURES],
            PEOPLE["hired"],
            sensitive_features=groups,
            subjects=PEOPLE["id"].tolist(),
        )
        fair.forget(subjects=[1003])
        PEOPLE.iloc[10:].to_csv(folder / "people.csv", index=False)
        yield folder / "d"


def run(capsys, *args):
    """Return the exit status, what was printed, and the errors."""
    status = main(["dossier", *map(str, args)])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("SKLEARN_FAIRSISA_KEY", "a key for tests")


def test_it_regenerates_byte_by_byte(directory, capsys, tmp_path):
    people = directory.parent / "people.csv"
    certificate = tmp_path / "certificate.json"
    main(["verify", str(directory), "--certificate", str(certificate), "--quiet"])
    files = []
    for name in ("first", "second"):
        files.append([tmp_path / f"{name}.html", tmp_path / f"{name}.json"])
        status, printed, _ = run(
            capsys, directory, "--people", people, "--target", "hired",
            "--certificate", certificate, "--output", *files[-1],
        )  # fmt: skip
        assert status == 0
        assert "The certificate is not signed." in printed
    for first, second in zip(*files):
        assert first.read_bytes() == second.read_bytes()
    told = json.loads(files[0][1].read_text())
    assert told["is_verified"]
    assert told["verified_at"] == json.loads(certificate.read_text())["time"]
    assert told["people"][0]["source"] == "The 230 rows of people.csv."


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_rates_are_those_of_the_people_in_the_file(directory, capsys, tmp_path, kind):
    fair = FairEnsemblePostprocessor.load(directory)
    people = PEOPLE.iloc[10:]
    groups = people[["sex", "district"]].astype(str)
    decided = fair.predict(
        people[FEATURES], sensitive_features=groups, subjects=people["id"].tolist()
    )
    file = directory.parent / "people.csv"
    if kind == "parquet":
        pytest.importorskip("pyarrow")
        file = tmp_path / "people.parquet"
        people.to_parquet(file)
    status, printed, _ = run(
        capsys, directory, "--people", file, "--subjects", "id", "--json"
    )
    assert status == 0
    rates = json.loads(printed)["rates"]
    expected = pd.Series(decided == 1).groupby(groups["sex"].to_numpy()).mean()
    for record in (record for record in rates if record["attribute"] == "sex"):
        assert record["selection_rate"] == pytest.approx(expected[record["group"]])
        assert record["true_positive_rate"] is None


def test_columns_of_the_rule_that_x_holds_need_no_option(capsys, tmp_path):
    X, y = PEOPLE[["a", "b", "district"]], PEOPLE["hired"]
    sisa = SISAClassifier(
        GaussianNB(), n_shards=3, random_state=0, checkpoint_dir=tmp_path / "d"
    )
    fair = FairEnsemblePostprocessor(
        sisa, sensitive_feature="district", method="soft_ensemble", random_state=0
    ).fit(X, y)
    PEOPLE.to_csv(tmp_path / "people.csv", index=False)
    status, printed, _ = run(
        capsys, tmp_path / "d", "--people", tmp_path / "people.csv", "--json"
    )
    assert status == 0
    shares = pd.Series(fair.predict(X)).groupby(X["district"]).mean()
    rates = [r["selection_rate"] for r in json.loads(printed)["rates"]]
    assert rates == pytest.approx(shares.tolist())


def test_columns_that_are_not_features_are_named(capsys, tmp_path):
    X, y = PEOPLE[FEATURES].to_numpy(), PEOPLE["hired"]
    sisa = SISAClassifier(GaussianNB(), n_shards=3, checkpoint_dir=tmp_path / "d")
    sisa.fit(X, y)
    people = tmp_path / "people.csv"
    PEOPLE[[*FEATURES, "sex", "hired"]].to_csv(people, index=False)
    options = [tmp_path / "d", "--people", people, "--attribute", "sex"]
    status, _, error = run(capsys, *options)
    assert status == 1
    assert "4 columns besides those that options name: a, b, c, hired. fit had" in error
    assert "Name labels by --target" in error
    assert run(capsys, *options, "--target", "hired")[0] == 0


def test_texts_are_a_column(capsys, tmp_path):
    texts = [
        f"{'good' if hired else 'bad'} {i}" for i, hired in enumerate(PEOPLE["hired"])
    ]
    learner = make_pipeline(HashingVectorizer(n_features=32), LogisticRegression())
    sisa = SISAClassifier(
        learner, n_shards=2, random_state=0, checkpoint_dir=tmp_path / "d"
    ).fit(texts, PEOPLE["hired"])
    PEOPLE.assign(text=texts).to_csv(tmp_path / "people.csv", index=False)
    status, printed, _ = run(
        capsys, tmp_path / "d", "--people", tmp_path / "people.csv", "--text", "text",
        "--attribute", "sex", "--json",
    )  # fmt: skip
    assert status == 0
    shares = pd.Series(sisa.predict(texts)).groupby(PEOPLE["sex"]).mean()
    rates = [r["selection_rate"] for r in json.loads(printed)["rates"]]
    assert rates == pytest.approx(shares.tolist())


def test_one_of_several_rules_is_named(capsys, tmp_path):
    sisa = SISAClassifier(
        GaussianNB(), n_shards=3, random_state=0, checkpoint_dir=tmp_path / "d"
    ).fit(PEOPLE[FEATURES], PEOPLE["hired"])
    for name in ("sex", "district"):
        FairEnsemblePostprocessor(method="soft_ensemble", random_state=0).attach(
            sisa, sensitive_features=PEOPLE[name], name=f"by_{name}"
        )
    status, _, error = run(capsys, tmp_path / "d")
    assert status == 1
    assert "holds the rules 'by_district' and 'by_sex'. Name one of them by" in error
    assert "--rule, or give --no-rule" in error.replace("\n", " ")
    status, printed, _ = run(capsys, tmp_path / "d", "--rule", "by_sex", "--json")
    told = json.loads(printed)
    assert (status, told["rule"][0]["name"]) == (0, "by_sex")
    # Nobody knows the coins of rows whose rule was attached.
    (people,) = told["people"]
    if people["randomised_people"]:
        assert people["decided_people"] == 0
        assert told["rates"][0]["selection_rate"] is None
    assert told["rates"][0]["expected_selection_rate"] is not None


def test_without_a_rule_the_attribute_is_named(directory, capsys):
    people = directory.parent / "people.csv"
    status, printed, _ = run(
        capsys, directory, "--no-rule", "--people", people, "--attribute", "district",
        "--pos-label", "0", "--json",
    )  # fmt: skip
    assert status == 0
    rates = json.loads(printed)["rates"]
    decided = SISAClassifier.load(directory).predict(PEOPLE.iloc[10:][FEATURES])
    shares = pd.Series(decided == 0).groupby(PEOPLE["district"].iloc[10:].to_numpy())
    assert [r["selection_rate"] for r in rates] == pytest.approx(shares.mean().tolist())


def test_signed_certificates_need_the_signers_key(directory, capsys, tmp_path):
    pytest.importorskip("jwt")
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat
    private, public, certificate = (tmp_path / n for n in ("k.pem", "p.pem", "c.jws"))
    private.write_bytes(
        key.private_bytes(
            encoding,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(encoding, form.SubjectPublicKeyInfo)
    )
    main(["verify", str(directory), "--quiet", "--certificate", str(certificate),
          "--sign", str(private)])  # fmt: skip
    capsys.readouterr()
    status, _, error = run(capsys, directory, "--certificate", certificate)
    assert (status, "Give the public key of its signer" in error) == (1, True)
    status, printed, _ = run(
        capsys, directory, "--certificate", certificate, "--public-key", public
    )
    assert (status, "The certificate is signed, by the owner" in printed) == (0, True)
    other = SISAClassifier(GaussianNB(), random_state=0)
    other.fit(PEOPLE[FEATURES], PEOPLE["hired"]).forget([1])
    foreign = tmp_path / "foreign.json"
    foreign.write_text(other.verify_forgotten().certificate())
    status, _, error = run(capsys, directory, "--certificate", foreign)
    assert (status, "verification is of another ensemble" in error) == (1, True)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--people", "{}/nobody.csv"], "There is no file"),
        (["--people", "{}/people.xlsx"], "is not the name of a .csv or .parquet"),
        (["--people", "{}/people.csv", "--attribute", "age"], "no column 'age'"),
        (["--people", "{}/people.csv", "--target", "age"], "no column 'age'"),
        (["--people", "{}/people.csv", "--target", "sex"], "none of the classes"),
        (
            ["--people", "{}/people.csv", "--attribute", "sex"],
            "decides by 2 attributes",
        ),
        (["--people", "{}/few.csv"], "lacks the columns ['b', 'c']"),
        (["--people", "{}/strange.csv"], "were not seen in fit"),
        (["--people", "{}/empty.csv"], "has no rows"),
        (["--people", "{}/all.csv", "--subjects", "id"], "1 of the 240 rows"),
        (["--no-rule", "--people", "{}/people.csv"], "--attribute is missing"),
        (["--target", "hired"], "there is no --people FILE"),
        (["--output", "{}/d.pdf"], "does not end in .html or .json"),
        (["--pos-label", "2"], "none of the classes"),
        (["--rule", "rul"], "has no rule 'rul' (--rule). Did you mean 'rule'?"),
        (["--rule", "other"], "has no rule 'other' (--rule). It holds the rule 'rule'"),
        (["--output", "{}/no/d.html"], "there is no folder"),
        (["--output", "{}/folder.html"], "is a folder. Give the name of a file"),
        (["--certificate", "{}/people.csv"], "This is not a certificate"),
        (["--certificate", "{}/list.json"], "This is not a certificate"),
        (
            ["--certificate", "{}/list.json", "--public-key", "{}/people.csv"],
            "The certificate has no signature",
        ),
        (["--public-key", "{}/people.csv"], "--public-key needs --certificate"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(directory, capsys, args, message):
    folder = directory.parent
    people = pd.read_csv(folder / "people.csv")
    people.drop(columns=["b", "c"]).to_csv(folder / "few.csv", index=False)
    people.assign(sex="x").to_csv(folder / "strange.csv", index=False)
    people.iloc[:0].to_csv(folder / "empty.csv", index=False)
    PEOPLE.to_csv(folder / "all.csv", index=False)
    (folder / "list.json").write_text("[1, 2]")
    (folder / "folder.html").mkdir(exist_ok=True)
    status, printed, error = run(
        capsys, directory, *(arg.format(folder) for arg in args)
    )
    assert (status, printed) == (1, "")
    assert message in error
    assert error.count("fairsisa: error:") == len(error.splitlines()) == 1


def test_a_directory_of_another_version_is_refused(directory, capsys, tmp_path):
    status, _, error = run(capsys, tmp_path)
    assert (status, "holds no ensemble" in error) == (1, True)
    (tmp_path / "manifest.json").write_text('{"format": 99}')
    status, _, error = run(capsys, tmp_path)
    assert status in (1, 4)
    assert error.count("fairsisa: error:") == 1
