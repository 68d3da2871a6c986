-- The words of an entry in an index: lexemes `index.field.word`, with their places in the field. So one
-- GIN index is enough for all indexes of the store, and a question is one for the words of an index.
ALTER TABLE kv_docs ADD COLUMN words tsvector;

CREATE INDEX kv_docs_words ON kv_docs USING gin (words);

-- The fields as steps: a JSON array for each, of names and numbers.
ALTER TABLE kv_indexes ADD COLUMN paths text COLLATE "C";

-- Unlike the dictionaries for English it takes every word for one that is looked for.
CREATE TEXT SEARCH DICTIONARY kv_porter (TEMPLATE = pg_catalog.snowball, Language = 'porter');

-- What is said at a path: texts as they are, other things as JSON, bigints as their digits. `document`
-- is what `kv_json` makes of a value; a NUL, which the server has no place for, becomes U+FFFD.
CREATE FUNCTION kv_text_at(value text, document jsonb, path jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  found jsonb := document;
  place text[] := '{}';
  step jsonb;
  name text;
  told text;
BEGIN
  FOR step IN SELECT steps FROM jsonb_array_elements(path) AS listed (steps) LOOP
    name := step #>> '{}';
    CASE jsonb_typeof(found)
      WHEN 'array' THEN
        -- A member that is a number is also an element of an array.
        IF jsonb_typeof(step) = 'string' AND name !~ '^(0|[1-9][0-9]{0,8})$' THEN RETURN ''; END IF;
        found := found -> name::integer;
      WHEN 'object' THEN
        IF jsonb_typeof(step) = 'number' THEN RETURN ''; END IF;
        found := found -> name;
      ELSE RETURN '';
    END CASE;
    IF found IS NULL THEN RETURN ''; END IF;
    place := place || name;
  END LOOP;
  told := CASE
    WHEN jsonb_typeof(found) = 'string' THEN found #>> '{}'
    WHEN jsonb_typeof(found) = 'null' THEN ''
    -- As it was written: what is binary has all of its digits.
    WHEN jsonb_typeof(found) = 'number' THEN (replace(value, '\u0000', '\u0001')::json #> place)::text
    WHEN found ->> '__type' = 'bigint' AND jsonb_typeof(found) = 'object' THEN found ->> 'value'
    ELSE found::text
  END;
  RETURN replace(replace(coalesce(told, ''), E'\x01\x01', U&'\FFFD'), E'\x01\x02', E'\x01');
END
$$;

-- Small letters without marks. The collation is named so that they are the same whatever that of the
-- database is.
CREATE FUNCTION kv_folded(content text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF octet_length(content) = length(content) THEN RETURN lower(content COLLATE "C"); END IF;
  RETURN normalize(regexp_replace(
    normalize(lower(content COLLATE "und-x-icu"), NFD), '[\u0300-\u036f]+', '', 'g'), NFC);
END
$$;

-- A piece of a text as it stands in an index.
CREATE FUNCTION kv_word(piece text, tokenize text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  word text;
BEGIN
  word := CASE tokenize
    WHEN 'ascii' THEN lower(normalize(piece, NFC) COLLATE "C")
    WHEN 'cjk' THEN kv_folded(normalize(piece, NFKC))
    ELSE kv_folded(piece)
  END;
  IF tokenize = 'porter' THEN
    word := coalesce((ts_lexize('kv_porter', word))[1], word);
  END IF;
  RETURN left(word, 500);
END
$$;

-- A text in pieces, each with what stands in front of it: words, or single characters where the
-- tokenizer is for texts without spaces.
CREATE FUNCTION kv_pieces(content text, tokenize text)
RETURNS TABLE (number bigint, gap text, piece text, word text)
LANGUAGE plpgsql IMMUTABLE ROWS 100 AS $$
#variable_conflict use_column
DECLARE
  pattern text := CASE tokenize
    WHEN 'ascii' THEN '([^a-zA-Z0-9\u0080-\U0010ffff]*)([a-zA-Z0-9\u0080-\U0010ffff]+)'
    WHEN 'trigram' THEN '()(.[\u0300-\u036f]*)'
    ELSE '([^[:alnum:]\u0300-\u036f]*)([[:alnum:]\u0300-\u036f]+)'
  END;
  -- A character of a script without spaces, with the marks behind it; Korean syllables in letters.
  base text := '\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e50-\u0e59\u0e81-\u0eb0\u0eb2\u0eb3'
    '\u0ebd-\u0ec6\u0ed0-\u0edf\u1000-\u102a\u103f-\u1055\u1780-\u17b3\u17e0-\u17e9'
    '\u3005-\u3007\u3031-\u3035\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff'
    '\uff66-\uff9d\u3105-\u312f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff'
    '\uac00-\ud7a3\uffa1-\uffdc';
  marks text := '\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd\u102b-\u103e'
    '\u1056-\u1059\u17b4-\u17d3\u3099\u309a\uff9e\uff9f\u0300-\u036f';
  is_ascii boolean := octet_length(content) = length(content);
  is_plain boolean := is_ascii AND tokenize <> 'porter';
BEGIN
  IF tokenize = 'cjk' AND NOT is_ascii THEN
    pattern := format(
      '((?:(?![%1$s])[^[:alnum:]\u0300-\u036f])*)((?:[\u1100-\u115f][\u1160-\u11a7]+[\u11a8-\u11ff]*'
      '|[%1$s])[%2$s]*|[\u1100-\u115f]|(?:(?![%1$s\u1100-\u115f])[[:alnum:]\u0300-\u036f])+)',
      base, marks);
  END IF;
  RETURN QUERY
  SELECT found.number, parts[1], parts[2],
    CASE WHEN is_plain THEN left(lower(parts[2] COLLATE "C"), 500)
      ELSE kv_word(parts[2], tokenize) END
  FROM regexp_matches(content COLLATE "und-x-icu", pattern, 'g')
    WITH ORDINALITY AS found (parts, number);
END
$$;

-- What an index has of a text, and what a question looks for: words with their places. Of characters
-- these are every three that follow each other. To fold a text at once takes a fraction of the time
-- that its words take.
CREATE FUNCTION kv_words(content text, tokenize text) RETURNS TABLE (place bigint, word text)
LANGUAGE plpgsql IMMUTABLE ROWS 100 AS $$
#variable_conflict use_column
DECLARE
  letters text[];
BEGIN
  CASE
    WHEN tokenize = 'trigram' THEN
      letters := string_to_array(kv_folded(content), NULL);
      RETURN QUERY
      SELECT n::bigint, letters[n] || letters[n + 1] || letters[n + 2]
      FROM generate_series(1, cardinality(letters) - 2) AS places (n);
    WHEN tokenize IN ('unicode61', 'porter') OR octet_length(content) = length(content) THEN
      RETURN QUERY
      SELECT place, left(CASE
        WHEN tokenize = 'porter' THEN coalesce((ts_lexize('kv_porter', word))[1], word) ELSE word
        END, 500)
      FROM regexp_split_to_table(kv_folded(content) COLLATE "und-x-icu", '[^[:alnum:]]+')
        WITH ORDINALITY AS split (word, place)
      WHERE word <> '';
    ELSE
      RETURN QUERY SELECT number, word FROM kv_pieces(content, tokenize) WHERE word <> '';
  END CASE;
END
$$;

CREATE FUNCTION kv_lexeme(index_id bigint, field bigint, word text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
SELECT concat('''', index_id, '.', field, '.',
  replace(replace(word, '\', '\\'), '''', ''''''), '''')
$$;

-- All words of an entry. The server has room for a million bytes and for places up to 16,383: what
-- is behind that is no part of a phrase, and new words behind the million are not found.
CREATE FUNCTION kv_vector(index_id bigint, value text, paths text, tokenize text) RETURNS tsvector
LANGUAGE plpgsql STABLE AS $$
DECLARE
  document jsonb := kv_json(value);
  vector text;
BEGIN
  SELECT string_agg(lexeme || places, ' ') FILTER (WHERE bytes < 900000) INTO vector
  FROM (
    SELECT lexeme, places, sum(octet_length(lexeme) + 4 + 2 * least(times, 256))
      OVER (ORDER BY first_place, lexeme) AS bytes
    FROM (
      SELECT kv_lexeme(index_id, field - 1, word) AS lexeme, count(*) AS times,
        min(place) AS first_place,
        coalesce(':' || string_agg(place::text, ',') FILTER (WHERE place < 16384), '') AS places
      FROM jsonb_array_elements(paths::jsonb) WITH ORDINALITY AS fields (path, field)
      CROSS JOIN LATERAL kv_words(left(kv_text_at(value, document, path), 1000000), tokenize)
      GROUP BY field, word
    ) AS words
  ) AS sized;
  RETURN coalesce(vector, '')::tsvector;
END
$$;

-- Of entries that were written, for all indexes that they belong to.
CREATE FUNCTION kv_index_written() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO kv_docs (index_id, doc_key, words)
  SELECT id, key, kv_vector(id, value, paths, tokenize)
  FROM kv_indexes JOIN written ON key >= prefix AND key < prefix || '\xff'::bytea
  ON CONFLICT (index_id, doc_key) DO UPDATE SET words = excluded.words;
  RETURN NULL;
END
$$;

CREATE FUNCTION kv_index_removed() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  DELETE FROM kv_docs USING kv_indexes, removed
  WHERE index_id = id AND doc_key = key AND key >= prefix AND key < prefix || '\xff'::bytea;
  RETURN NULL;
END
$$;

-- Lets every write of an entry keep the indexes up to date, from the first of them on: stores without
-- indexes do not pay for them.
CREATE FUNCTION kv_begin_indexing() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_trigger
    WHERE tgrelid = 'kv_entries'::regclass AND tgname = 'kv_index_insert') THEN RETURN; END IF;
  CREATE TRIGGER kv_index_insert AFTER INSERT ON kv_entries REFERENCING NEW TABLE AS written
  FOR EACH STATEMENT EXECUTE FUNCTION kv_index_written();
  CREATE TRIGGER kv_index_update AFTER UPDATE ON kv_entries REFERENCING NEW TABLE AS written
  FOR EACH STATEMENT EXECUTE FUNCTION kv_index_written();
  CREATE TRIGGER kv_index_delete AFTER DELETE ON kv_entries REFERENCING OLD TABLE AS removed
  FOR EACH STATEMENT EXECUTE FUNCTION kv_index_removed();
END
$$;

-- How many hits are wanted of an index. That may have been dropped since it was heard of, which is an
-- error, and not the same as finding nothing.
CREATE FUNCTION kv_asked(index_id bigint, most bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM kv_indexes WHERE id = index_id) THEN RETURN most; END IF;
  RAISE EXCEPTION 'there is no index %', index_id USING ERRCODE = 'undefined_table';
END
$$;

-- What a term asks for: its words one behind the other, in one of the fields.
CREATE FUNCTION kv_term(
  term jsonb, index_id bigint, first_field bigint, last_field bigint, tokenize text) RETURNS tsquery
LANGUAGE plpgsql STABLE AS $$
DECLARE
  found text[] := ARRAY(SELECT word FROM kv_words(term ->> 'text', tokenize) ORDER BY place);
  ending text := CASE WHEN (term ->> 'prefix')::boolean THEN ':*' ELSE '' END;
  wanted text;
BEGIN
  SELECT string_agg(concat('(', phrase, ending, ')'), ' | ') INTO wanted
  FROM (
    SELECT string_agg(kv_lexeme(index_id, field, word), ' <-> ' ORDER BY place) AS phrase
    FROM generate_series(first_field, last_field) AS numbers (field),
      unnest(found) WITH ORDINALITY AS words (word, place)
    WHERE coalesce((term ->> 'field')::bigint, field) = field GROUP BY field
  ) AS phrases;
  RETURN coalesce(wanted, '')::tsquery;
END
$$;

-- A query, which is a term or `all`, `any` or `but` of such; see `match.py`. What has no words counts
-- for nothing.
CREATE FUNCTION kv_query(
  query jsonb, index_id bigint, first_field bigint, last_field bigint, tokenize text) RETURNS tsquery
LANGUAGE plpgsql STABLE AS $$
DECLARE
  part jsonb;
  one tsquery;
  wanted tsquery := '';
BEGIN
  IF query ? 'text' THEN
    RETURN kv_term(query, index_id, first_field, last_field, tokenize);
  END IF;
  FOR part IN SELECT parts FROM jsonb_array_elements(
    coalesce(query -> 'all', query -> 'any', query -> 'but')) AS listed (parts)
  LOOP
    one := kv_query(part, index_id, first_field, last_field, tokenize);
    wanted := CASE
      WHEN numnode(one) = 0 THEN wanted
      WHEN numnode(wanted) = 0 THEN one
      WHEN query ? 'any' THEN wanted || one
      WHEN query ? 'all' THEN wanted && one
      ELSE wanted && !! one
    END;
    -- Nothing is wanted, so that there is nothing that the rest could be left out of.
    EXIT WHEN query ? 'but' AND numnode(wanted) = 0;
  END LOOP;
  RETURN wanted;
END
$$;

-- A text, or an extract of so many pieces, with its hits between two others.
CREATE FUNCTION kv_shown(content text, terms jsonb, field bigint, tokenize text,
  before text, after text, escapes boolean, most bigint) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
  gaps text[];
  pieces text[];
  words text[];
  opens boolean[];
  closes boolean[];
  firsts bigint[] := '{}';
  lasts bigint[] := '{}';
  numbers bigint[] := '{}';
  term jsonb;
  term_number bigint := 0;
  wanted text[];
  is_prefix boolean;
  total bigint;
  place bigint;
  hit record;
  reached bigint := 0;
  opened bigint;
  begins bigint;
  ends bigint;
  rest text;
  shown text;
BEGIN
  SELECT array_agg(gap ORDER BY number), array_agg(piece ORDER BY number),
    array_agg(word ORDER BY number), count(*),
    substr(content, coalesce(sum(length(gap) + length(piece)), 0)::integer + 1)
  INTO gaps, pieces, words, total, rest FROM kv_pieces(content, tokenize);
  FOR term IN SELECT listed FROM jsonb_array_elements(terms) AS parts (listed) LOOP
    CONTINUE WHEN (term ->> 'field')::bigint <> field;
    term_number := term_number + 1;
    wanted := ARRAY(SELECT word FROM kv_pieces(term ->> 'text', tokenize) ORDER BY number);
    CONTINUE WHEN cardinality(wanted) = 0;
    is_prefix := (term ->> 'prefix')::boolean;
    FOR place IN SELECT number FROM unnest(words) WITH ORDINALITY AS listed (word, number)
      WHERE word = wanted[1] OR (is_prefix AND cardinality(wanted) = 1
        AND starts_with(word, wanted[1]))
    LOOP
      FOR other IN 2 .. cardinality(wanted) LOOP
        IF words[place + other - 1] = wanted[other] OR (is_prefix AND other = cardinality(wanted)
          AND starts_with(words[place + other - 1], wanted[other])) THEN CONTINUE; END IF;
        place := 0;
        EXIT;
      END LOOP;
      CONTINUE WHEN place = 0 OR place + cardinality(wanted) - 1 > total;
      firsts := firsts || place;
      lasts := lasts || place + cardinality(wanted) - 1;
      numbers := numbers || term_number;
    END LOOP;
  END LOOP;
  begins := 1;
  ends := total;
  IF most < total THEN
    -- Where most terms are, in the middle.
    SELECT one.first
      - (most - least(most, max(other.last) - one.first + 1)) / 2 INTO begins
    FROM (SELECT first FROM unnest(firsts) AS listed (first) LIMIT 500) AS one
    JOIN unnest(firsts, lasts, numbers) AS other (first, last, number)
      ON other.first >= one.first AND other.first < one.first + most
    GROUP BY one.first
    ORDER BY count(DISTINCT other.number) DESC, count(*) DESC, one.first LIMIT 1;
    begins := greatest(1, least(coalesce(begins, 1), total - most + 1));
    ends := begins + most - 1;
  END IF;
  -- Hits that overlap are one.
  opens := array_fill(FALSE, ARRAY[total::integer]);
  closes := opens;
  FOR hit IN SELECT greatest(first, begins) AS first, least(max(last), ends) AS last
    FROM unnest(firsts, lasts) AS listed (first, last)
    WHERE first <= ends AND last >= begins GROUP BY first ORDER BY first
  LOOP
    IF hit.first > reached THEN
      opens[hit.first] := TRUE;
      reached := hit.last;
      closes[reached] := TRUE;
    ELSIF hit.last > reached THEN
      closes[reached] := FALSE;
      reached := hit.last;
      closes[reached] := TRUE;
    END IF;
  END LOOP;
  SELECT string_agg(concat(
      CASE WHEN number = begins AND begins > 1 THEN '' WHEN escapes THEN kv_html(gap) ELSE gap END,
      CASE WHEN is_open THEN before END,
      CASE WHEN escapes THEN kv_html(piece) ELSE piece END,
      CASE WHEN is_closed THEN after END), '' ORDER BY number)
  INTO shown
  FROM unnest(gaps, pieces, opens, closes)
    WITH ORDINALITY AS listed (gap, piece, is_open, is_closed, number)
  WHERE number BETWEEN begins AND ends;
  RETURN concat(
    CASE WHEN begins > 1 THEN '…' END, shown,
    CASE WHEN ends < total THEN '…' WHEN escapes THEN kv_html(rest) ELSE rest END);
END
$$;

CREATE FUNCTION kv_html(content text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
SELECT replace(replace(replace(replace(replace(
  content, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;')
$$;
