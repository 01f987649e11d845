package rdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/wildtrain/sdk/tune"
)

// CreateStudy implements tune.Storage.
func (s *Storage) CreateStudy(ctx context.Context, name string, directions []tune.Direction) (tune.StudyRecord, error) {
	record := tune.StudyRecord{Name: name, Directions: directions}
	err := s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var id int64
		switch err := s.row(ctx, tx, "SELECT study_id FROM studies WHERE study_name = ?", name).Scan(&id); {
		case err == nil:
			return fmt.Errorf("%w: %s", tune.ErrExists, name)
		case !errors.Is(err, sql.ErrNoRows):
			return fmt.Errorf("rdb: read: %w", err)
		}
		id, err := s.insert(ctx, tx, "INSERT INTO studies (study_name) VALUES (?)", "study_id", name)
		for i, d := range directions {
			if err == nil {
				_, err = s.exec(ctx, tx, "INSERT INTO study_directions (direction, study_id, objective) VALUES (?, ?, ?)", d.String(), id, i)
			}
		}
		record.ID = id
		return err
	})
	if err != nil && !errors.Is(err, tune.ErrExists) {
		// two workers may have made it at the same moment
		if _, found := s.Study(ctx, name); found == nil {
			err = fmt.Errorf("%w: %s", tune.ErrExists, name)
		}
	}
	return record, err
}

// DeleteStudy implements tune.Storage.
func (s *Storage) DeleteStudy(ctx context.Context, study int64) error {
	err := s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, table := range []string{
			"trial_user_attributes", "trial_system_attributes", "trial_params", "trial_values", "trial_intermediate_values", "trial_heartbeats",
		} {
			if _, err := s.exec(ctx, tx, "DELETE FROM "+table+" WHERE trial_id IN (SELECT trial_id FROM trials WHERE study_id = ?)", study); err != nil {
				return err
			}
		}
		for _, table := range []string{"trials", "study_user_attributes", "study_system_attributes", "study_directions"} {
			if _, err := s.exec(ctx, tx, "DELETE FROM "+table+" WHERE study_id = ?", study); err != nil {
				return err
			}
		}
		r, err := s.exec(ctx, tx, "DELETE FROM studies WHERE study_id = ?", study)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err == nil && n == 0 {
			return fmt.Errorf("%w: study %d", tune.ErrNotFound, study)
		}
		return nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.settled, study)
	return err
}

// Study implements tune.Storage.
func (s *Storage) Study(ctx context.Context, name string) (tune.StudyRecord, error) {
	found, err := s.studies(ctx, " WHERE study_name = ?", name)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%w: study %s", tune.ErrNotFound, name)
	}
	if err != nil {
		return tune.StudyRecord{}, err
	}
	return found[0], nil
}

// Studies implements tune.Storage.
func (s *Storage) Studies(ctx context.Context) ([]tune.StudyRecord, error) { return s.studies(ctx, "") }

func (s *Storage) studies(ctx context.Context, where string, args ...any) ([]tune.StudyRecord, error) {
	var out []tune.StudyRecord
	at := map[int64]int{}
	err := s.each(ctx, s.db, "SELECT study_id, study_name FROM studies"+where+" ORDER BY study_id", args, func(scan func(...any) error) error {
		var r tune.StudyRecord
		err := scan(&r.ID, &r.Name)
		at[r.ID] = len(out)
		out = append(out, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = s.each(ctx, s.db, "SELECT study_id, direction FROM study_directions ORDER BY study_id, objective", nil, func(scan func(...any) error) error {
		var id int64
		var name string
		if err := scan(&id, &name); err != nil {
			return err
		}
		i, ok := at[id]
		if !ok {
			return nil
		}
		d, err := tune.ParseDirection(name)
		out[i].Directions = append(out[i].Directions, d)
		return err
	})
	for _, system := range []bool{false, true} {
		if err != nil {
			return nil, err
		}
		query := "SELECT study_id, " + s.dialect.key + ", value_json FROM " + attributes("study", system)
		err = s.each(ctx, s.db, query, nil, func(scan func(...any) error) error {
			var id int64
			var key, json string
			err := scan(&id, &key, &json)
			if i, ok := at[id]; ok {
				out[i].SetAttr(system, key, json)
			}
			return err
		})
	}
	return out, err
}

// attributes is the name of a table.
func attributes(of string, system bool) string {
	if system {
		return of + "_system_attributes"
	}
	return of + "_user_attributes"
}

// SetStudyAttr implements tune.Storage.
func (s *Storage) SetStudyAttr(ctx context.Context, study int64, system bool, key, json string) error {
	_, err := s.exec(ctx, s.db, s.dialect.insertOrSet(attributes("study", system), []string{"study_id", s.dialect.key}, "value_json"), study, key, json)
	return err
}
