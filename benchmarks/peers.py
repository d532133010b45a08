"""What other projects did under the same load kit, once: a yardstick where they are not measured in the same run.

Recorded rows are shown for what was not measured in the run itself.

Measured on 2026-11-22 on a virtual machine of two cores (AMD EPYC), all on loopback, each project in the shape that its
documentation gives for production, with one interface process and one worker. A difference below about a quarter
between rows of different hours means nothing.

- Channels 1.1.8: daphne 1.4.2, asgi_redis 1.4.3, Django 1.11, Python 3.7. For group sends its capacity was raised from
  100 to 200,000, since it silently drops what is above.
- Channels 4.3.2: channels_redis 4.3.0, redis-py 6.4.0, uvicorn 0.54.0, Django 6.1, Python 3.12; consumers run in the
  interface, as coroutines unless they are called sync. Its group rows are of RedisChannelLayer and of
  RedisPubSubChannelLayer.
- python-socketio 5.18.1: AsyncServer and AsyncRedisManager on the same uvicorn.
- Celery 5.7.0: tasks that do nothing, results ignored, worker -P prefork -c 1, one task to a message, Python 3.12.
"""

from collections.abc import Mapping, Sequence

__all__ = ["NOTE", "PEERS", "stands_for"]

NOTE = (__doc__ or "").split("\n\n", 1)[1]

_OLD, _NEW = "*Channels 1.1.8*", "*Channels 4.3.2*"

#: The rows to add, by part; the columns are those of `benchmarks.sections`.
PEERS: Mapping[str, Sequence[Sequence[str]]] = {
    "echo": (
        (_OLD, "1", "19.1 [19.0-19.3]", "51.9 [51.7-52.4]", "57.5 [55.1-59.5]", "2,629 [2,448-3,690]",
         "interface 1,266 + worker 775 + redis 588", "4"),
        (_OLD, "100", "934 [856-1,088]", "107 [92.2-113]", "185 [153-219]", "1,316 [1,058-1,445]",
         "interface 519 + worker 455 + redis 338", "4"),
        ("*Channels 1.1.8, twisted worker*", "1", "232 [210-257]", "4.19 [3.80-4.58]", "8.23 [6.88-8.48]",
         "5,508 [5,000-6,021]", "interface 3,749 + worker 666 + redis 1,093", "3"),
        ("*Channels 4.3.2, sync consumer*", "100", "2,822 [2,483-2,886]", "34.3 [33.6-39.8]", "50.7 [50.0-63.6]",
         "356 [352-399]", "interface 356 + redis 0.54", "3"),
        (_NEW, "1", "1,992 [1,871-2,509]", "0.41 [0.36-0.42]", "1.56 [1.06-1.89]", "406 [337-407]",
         "interface 405 + redis 0.74", "3"),
        (_NEW, "100", "5,112 [4,447-5,787]", "17.3 [14.5-20.3]", "69.6 [65.2-71.0]", "196 [173-224]",
         "interface 196 + redis 0.34", "3"),
    ),
    "group": (
        (_OLD, "1,000", "one by one", "421 [273-461]", "459 [401-519]", "580 [486-708]", "2,124 [1,891-2,433]",
         "511 [508-581]", "interface 214 + redis 154 + sender 157", "0 of 30,000", "3"),
        (_OLD, "5,000", "one by one", "1,758 [1,756-2,357]", "2,258 [2,112-2,505]", "2,645 [2,551-2,733]",
         "2,126 [2,040-2,411]", "573 [567-600]", "interface 244 + redis 171 + sender 172", "0 of 75,000", "3"),
        (f"{_NEW} (default)", "1,000", "one by one", "2.50 [2.37-2.53]", "418 [327-423]", "481 [368-524]",
         "2,678 [2,550-3,316]", "376 [304-394]", "interface 373 + redis 1.92 + sender 1.84", "0 of 30,000", "3"),
        (f"{_NEW} (default)", "5,000", "one by one", "7.31 [6.66-9.14]", "2,926 [2,681-3,334]", "3,387 [3,251-4,263]",
         "1,729 [1,444-1,783]", "580 [564-687]", "interface 577 + redis 1.58 + sender 1.05", "0 of 75,000", "3"),
        (f"{_NEW} (pub/sub)", "1,000", "one by one", "0.53 [0.45-0.54]", "274 [243-285]", "300 [296-360]",
         "4,553 [4,105-4,957]", "218 [203-245]", "interface 217 + redis 0.41 + sender 0.54", "0 of 30,000", "3"),
        ("*python-socketio 5.18.1*", "1,000", "one by one", "0.64 [0.63-0.65]", "83.1 [80.5-85.6]", "295 [284-307]",
         "9,625 [9,575-9,675]", "103", "interface 102 + redis 0.30 + sender 0.66", "0 of 20,000", "2"),
        (f"{_NEW} (pub/sub)", "5,000", "one by one", "0.56 [0.43-0.59]", "2,210 [2,125-2,944]", "2,628 [2,403-3,052]",
         "2,414 [1,842-2,547]", "414 [390-542]", "interface 413 + redis 0.78 + sender 0.12", "0 of 75,000", "3"),
        ("*python-socketio 5.18.1*", "5,000", "one by one", "0.58 [0.53-0.63]", "492 [490-494]", "1,302 [1,214-1,389]",
         "6,557 [6,254-6,860]", "152 [145-159]", "interface 152 + redis 0.28 + sender 0.12", "0 of 50,000", "2"),
    ),
    "idle": (
        (_OLD, "1,000", "16.4 [16.4-16.5]", "440 [378-497]", "117 [100-131]", "186 [185-226]", "2,707 [2,469-3,038]",
         "-", "1.10 [1.00-1.10]", "3"),
        (_OLD, "5,000", "16.0", "474 [359-487]", "97.3 [94.1-133]", "228 [206-277]", "2,422 [2,310-3,432]", "-",
         "6.90 [2.00-7.20]", "3"),
        (_NEW, "1,000", "49.8 [49.7-49.9]", "693 [641-786]", "58.4 [50.0-59.1]", "219 [170-247]", "1,423 [1,281-1,467]",
         "-", "0.30 [0.20-0.30]", "3"),
        (_NEW, "5,000", "41.5", "595 [576-625]", "51.0 [49.6-54.2]", "647 [643-766]", "1,707 [1,629-1,755]", "-",
         "3.30 [2.30-3.40]", "3"),
    ),
    "queue": (
        ("*Celery 5.7.0*, RabbitMQ, transient", "1", "1,694 [986-1,784]", "837", "worker 667 + broker 170",
         "2,375 [1,982-2,828]", "416 [353-487]", "3"),
        ("*Celery 5.7.0*, Redis", "1", "600 [578-643]", "1,784", "worker 1,599 + redis 185", "1,285 [1,188-1,487]",
         "654 [593-688]", "3"),
    ),
    "http": (
        (_OLD, "563 [465-606]", "52.8 [49.5-63.4]", "140 [96.4-161]", "2,246 [1,694-2,337]",
         "interface 1,023 + worker 721 + redis 486", "4"),
        (_NEW, "837 [779-855]", "37.0 [35.7-39.5]", "69.1 [61.2-70.8]", "1,258 [1,227-1,322]",
         "interface 1,256 + redis 1.43", "3"),
    ),
}  # fmt: skip

#: Subjects whose own rows make recorded ones needless, by the beginning of these.
_SUBJECTS = {
    f"{_NEW} (pub/sub)": "Channels 4, pub/sub",
    _NEW: "Channels 4",
    "*python-socketio": "python-socketio",
    "*Celery": "Celery task",
}


def stands_for(name: str) -> str | None:
    """Return the subject whose place a recorded row takes, or None if that is never measured here."""
    return next((subject for begin, subject in _SUBJECTS.items() if name.startswith(begin)), None)
