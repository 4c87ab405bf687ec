"""What a person types into a form: any text has an answer at its field."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from portal.kernel.errors import UserError
from portal.web.forms import (
    ChoiceField,
    CodeField,
    DayField,
    Form,
    MinutesField,
    NumberField,
    TextField,
    TickField,
)

app = Flask(__name__)
app.secret_key = "test"


class Sample(Form):
    name = TextField("店舗名", most=5)
    notes = TextField("備考", lines=True, required=False)
    code = CodeField("店舗コード", required=False)
    people = NumberField("人数", low=1, high=999, default=2)
    clock = MinutesField("時間", required=False)
    day = DayField("日付", required=False)
    kind = ChoiceField("種別", {"a": "あ", "b": "い"}, default="a")
    tick = TickField("予約サイトポイント")


@pytest.fixture(autouse=True)
def _request() -> Iterator[None]:
    with app.test_request_context():
        yield


def form(**values: str) -> Sample:
    with app.test_request_context(
        method="POST", data={"name": "渋谷店", "people": "2", "kind": "a"} | values
    ):
        found = Sample()
        found.validate()
        return found


def test_full_width_digits_are_numbers() -> None:
    found = form(people="１２", clock="１９：３０", day="２０２６／０７／０１", code="Ａ０１")
    assert found.messages == {}
    assert (found.people.data, found.clock.data, found.code.data) == (12, 1170, "A01")
    assert form(clock="２５：３０").clock.data == 25 * 60 + 30
    assert found.day.data.isoformat() == "2026-07-01"
    assert found.typed["people"] == "１２"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "", "店舗名を入力してください。"),
        ("name", "長い長い長い店", "店舗名は5文字以内で入力してください。"),
        ("name", "a\0b", "店舗名に使用できない文字が含まれています。入力し直してください。"),
        ("people", "0", "人数は1から999までの数字で入力してください。"),
        ("people", "二", "人数は1から999までの数字で入力してください。"),
        ("people", "", "人数を入力してください。"),
        ("clock", "25:99", "時間は「19:30」のように入力してください。"),
        ("day", "2026/02/30", "日付は「2026/07/01」のように入力してください。"),
        ("kind", "x", "種別を選択してください。"),
    ],
)
def test_one_message_a_field_and_what_was_typed_stays(field: str, value: str, message: str) -> None:
    found = form(**{field: value})
    assert found.messages == {field: message}
    assert "\0" not in found.typed[field]


def test_lines_stay_lines_and_a_service_error_goes_to_its_field() -> None:
    found = form(notes="一行目\r\n二行目", tick="1")
    assert found.notes.data == "一行目\n二行目"
    assert found.tick.data is True
    found.add(UserError("この店舗名は使われています。", "別の名称を入力してください。", field="name"))
    assert found.messages == {"name": "この店舗名は使われています。 別の名称を入力してください。"}


@given(
    st.dictionaries(
        st.sampled_from(["name", "notes", "code", "people", "clock", "day", "kind"]), st.text(max_size=200)
    )
)
def test_no_text_raises(values: dict[str, str]) -> None:
    with app.test_request_context():
        found = Sample(data=None, formdata=None)
        for name, value in values.items():
            found[name].process_formdata([value])
        found.validate()
        assert all(isinstance(text, str) for text in found.messages.values())
