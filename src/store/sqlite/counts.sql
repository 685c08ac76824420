-- How many aggregates there are of each kind and status, kept by the file itself: to count a million rows whenever somebody
-- asks how much waits would hold up everybody else. A release before this one keeps it right, too.
CREATE TABLE counts (
    kind   TEXT    NOT NULL,
    status TEXT    NOT NULL,
    count  INTEGER NOT NULL,
    PRIMARY KEY (kind, status)
) STRICT, WITHOUT ROWID;

INSERT INTO counts SELECT kind, status, count(*) FROM aggregates WHERE kind <> 'receipt' GROUP BY kind, status;

CREATE TRIGGER counts_one_more AFTER INSERT ON aggregates WHEN new.kind <> 'receipt' BEGIN
    INSERT INTO counts VALUES (new.kind, new.status, 1) ON CONFLICT DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER counts_one_less AFTER DELETE ON aggregates WHEN old.kind <> 'receipt' BEGIN
    UPDATE counts SET count = count - 1 WHERE kind = old.kind AND status = old.status;
END;

CREATE TRIGGER counts_another AFTER UPDATE OF status ON aggregates
WHEN new.kind <> 'receipt' AND new.status <> old.status BEGIN
    UPDATE counts SET count = count - 1 WHERE kind = old.kind AND status = old.status;
    INSERT INTO counts VALUES (new.kind, new.status, 1) ON CONFLICT DO UPDATE SET count = count + 1;
END;
