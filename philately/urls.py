"""Addresses."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from philately.pages import accounts, batches, candidates, home, seasons, uploads, withdrawals

urlpatterns = [
    path("", home.home, name="home"),
    path("healthz", home.healthz, name="healthz"),
    path("accounts/signup/", accounts.signup, name="signup"),
    path(
        "accounts/login/",
        LoginView.as_view(
            template_name="accounts/login.html",
            authentication_form=accounts.LoginForm,
            redirect_authenticated_user=True,
        ),
        name="login",
    ),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("seasons/<slug:slug>/", seasons.season, name="season"),
    path("seasons/<slug:slug>/upload/", uploads.upload, name="upload"),
    path("seasons/<slug:slug>/leaderboard/", seasons.leaderboard, name="leaderboard"),
    path("seasons/<slug:slug>/stable/", seasons.stable, name="stable"),
    path("seasons/<slug:slug>/dump/<str:name>", seasons.dump_file, name="dump-file"),
    path("batches/", batches.batches, name="batches"),
    path("batches/<int:pk>/", batches.batch, name="batch"),
    path("batches/<int:pk>/live/", batches.batch_live, name="batch-live"),
    path("batches/<int:pk>/table.csv", batches.batch_csv, name="batch-csv"),
    path("batches/<int:pk>/withdraw/", withdrawals.withdraw_batch, name="batch-withdraw"),
    path("candidates/<int:pk>/", candidates.candidate, name="candidate"),
    path("candidates/<int:pk>/withdraw/", withdrawals.withdraw_candidate, name="candidate-withdraw"),
    path("admin/", admin.site.urls),
]
