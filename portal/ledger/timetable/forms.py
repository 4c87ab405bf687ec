"""What the timetable asks for."""

from __future__ import annotations

from portal.web.forms import ChoiceField, DayField, Form, MinutesField, NumberField, TextField


class MoveForm(Form):
    """Another seat, time or stay for one row. A finger sends ``shift`` and ``was`` instead of a time."""

    from_seat = TextField("移動する座席", most=50, required=False)
    seat = ChoiceField("座席", required=False, default="")
    time = MinutesField("来店時間", required=False)
    stay = NumberField("滞在時間(分)", low=1, high=2880, required=False)
    longer = NumberField("延長", low=5, high=240, required=False, default=0)
    shift = NumberField("ずらす時間(分)", low=-1440, high=1440, required=False, default=0)
    was = NumberField("元の位置", low=-200, high=200, required=False)
    revision = NumberField("版", low=0, high=999_999_999, required=False)


class BlockForm(Form):
    """The block icon of a seat: start and end (O6). Times run to 29:00."""

    day = DayField("日付")
    seat = ChoiceField("座席")
    start = ChoiceField("開始時間")
    end = ChoiceField("終了時間")
